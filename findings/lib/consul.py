"""Asks the agent that consul.sh has started; ready() waits until it has a leader
and its node is in the catalogue."""
import json, os, time, urllib.error, urllib.request

def call(method, path, body=None):
    """Returns the header and the body of an answer, a 404 included."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    request = urllib.request.Request(f"http://127.0.0.1:{os.environ['CONSUL_HTTP']}{path}", data, method=method)
    try:
        r = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as e:
        if e.code != 404: raise
        r = e
    with r:
        return r.headers, r.read()

def get(path):
    return json.loads(call("GET", path)[1])

def put(path, body=b""):
    return call("PUT", path, body)[1].decode().strip()

def register(**service):
    put("/v1/agent/service/register", service)

def until(condition):
    """Waits until condition is true; fails after half a minute."""
    for _ in range(300):
        if condition(): return
        time.sleep(0.1)
    raise SystemExit("waited in vain")

def ready():
    def node():
        try: return get("/v1/health/node/" + get("/v1/agent/self")["Config"]["NodeName"])
        except OSError: return False
    until(node)
