package config

// DemoService is the service of the demo's listeners that name none.
const DemoService = "echo"

// WithDemo makes what the demo leaves open: its listeners and its route, where c
// sets none, and backends at addrs for every service that is led to.
func (c *Config) WithDemo(addrs []string) {
	if len(c.L7) == 0 {
		c.L7 = []L7{{Addr: "127.0.0.1:8080"}}
	}
	if len(c.L4) == 0 {
		c.L4 = []L4{{Addr: "127.0.0.1:8081", Service: DemoService}}
	}
	if len(c.Routes) == 0 {
		c.Routes = []Route{{Path: "/", Service: DemoService}}
	}
	for _, service := range c.ServiceNames() {
		for _, addr := range addrs {
			c.Backends = append(c.Backends, Backend{Service: service, Addr: addr, Weight: 1})
		}
	}
}

// demo refuses what the demo sets itself, and checks the rest as it will be.
func (v *validation) demo() {
	c := v.c
	for _, x := range []struct {
		setting string
		set     bool
	}{
		{"backend", len(c.Backends) > 0},
		{"consul-tags", c.ConsulTags != ""},
		{"register", len(c.Registers) > 0},
	} {
		if x.set {
			v.add(x.setting, "contradicts --demo, which sets its own")
		}
	}
	whole := *c
	whole.Backends, whole.ConsulTags, whole.Registers = nil, "", nil
	whole.WithDemo([]string{"127.0.0.1:1"})
	v.c = &whole
	v.listeners()
	v.services()
	v.auths()
	v.c = c
}
