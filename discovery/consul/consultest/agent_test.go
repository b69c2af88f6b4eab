package consultest

import (
	"net"
	"testing"

	"github.com/hashicorp/consul/api"
)

func TestAgentRestarts(t *testing.T) {
	t.Parallel()
	a := Start(t)
	a.Register(t, "web-1", "web", "10.0.0.1", 80)
	if got := services(t, a); len(got) != 1 {
		t.Fatalf("unexpected services after Register; got %v; want web-1", got)
	}

	pid := a.process.cmd.Process.Pid
	a.Stop()
	a.Stop() // does nothing
	if conn, err := net.Dial("tcp", a.Addr()); err == nil {
		conn.Close()
		t.Fatalf("the agent at %s still listens after Stop", a.Addr())
	}

	addr := a.Addr()
	a.Restart()
	if a.Addr() != addr {
		t.Fatalf("unexpected address after Restart; got %s; want %s", a.Addr(), addr)
	}
	if a.process.cmd.Process.Pid == pid {
		t.Fatalf("unexpected process after Restart; got %d again", pid)
	}
	if got := services(t, a); len(got) != 0 {
		t.Fatalf("unexpected services after Restart; got %v; want none", got)
	}
}

func TestAgentsDoNotMeet(t *testing.T) {
	t.Parallel()
	a, b := Start(t), Start(t)
	for _, agent := range []*Agent{a, b} {
		nodes, _, err := agent.API().Catalog().Nodes(nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(nodes) != 1 || nodes[0].Node != agent.Node() {
			t.Fatalf("unexpected nodes of %s; got %v; want itself alone", agent.Node(), nodes)
		}
	}
}

func TestStartReportsOutput(t *testing.T) {
	t.Parallel()
	a := &Agent{binary: "/bin/sh", logPath: t.TempDir() + "/log", node: "n", t: t}
	a.ports.http = 1
	if err := a.start(); err == nil {
		a.Stop()
		t.Fatal("unexpected success of a binary that is not Consul")
	}
	if tail := a.tail(); tail == "the end of its output:\n" {
		t.Fatal("unexpected empty output")
	}
}

func services(t *testing.T, a *Agent) map[string]*api.AgentService {
	t.Helper()
	got, err := a.API().Agent().Services()
	if err != nil {
		t.Fatal(err)
	}
	return got
}
