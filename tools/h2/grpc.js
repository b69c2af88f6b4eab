// A client, or a server, of gRPC in Node, by grpc-js, with messages that are bytes.
// Its arguments are what it is and, for a client, whom it calls and the file of the
// certificate that it trusts.
const fs = require('node:fs');
const grpc = require('@grpc/grpc-js');
const [role, addr, ca] = process.argv.slice(2);
const raw = (b) => b;
const method = (name, up, down) => ({ path: `/test.Echo/${name}`, requestStream: up, responseStream: down, requestSerialize: raw, requestDeserialize: raw, responseSerialize: raw, responseDeserialize: raw });
if (role === 'server') {
  const server = new grpc.Server();
  server.addService({ Unary: method('Unary', false, false), Both: method('Both', true, true), Fail: method('Fail', false, false) }, {
    Unary: (call, done) => done(null, call.request, (() => { const m = new grpc.Metadata(); m.set('x-bin', Buffer.from([0, 255, 1])); return m; })()),
    Both: (call) => { call.on('data', (d) => call.write(d)); call.on('end', () => call.end()); },
    Fail: (_, done) => done({ code: grpc.status.FAILED_PRECONDITION, details: 'no: 100 % ü' }),
  });
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (err, port) => { if (err) throw err; console.error(`listening=127.0.0.1:${port}`); });
} else {
  const client = new grpc.Client(addr, ca ? grpc.credentials.createSsl(fs.readFileSync(ca)) : grpc.credentials.createInsecure());
  const unary = (name, message, deadline) => new Promise((resolve) => {
    const m = new grpc.Metadata();
    const out = {};
    const call = client.makeUnaryRequest(`/test.Echo/${name}`, raw, raw, message, m, { deadline: Date.now() + (deadline || 30000) }, (err, value) => { out.err = err; out.value = value; resolve(out); });
    call.on('status', (s) => { out.trailers = s.metadata; });
  });
  const same = (got, want, what) => { if (got !== want) throw new Error(`${what}: got ${got}; want ${want}`); };
  (async () => {
    for (const size of [0, 5, 100000, 3 << 20]) same((await unary('Unary', Buffer.alloc(size))).value?.length, size, 'length');
    const u = await unary('Unary', Buffer.from('x'));
    same(u.trailers.get('x-bin')[0].toString('hex'), '00ff01', 'binary metadata');
    const f = await unary('Fail', Buffer.from('x'));
    same(f.err.code, grpc.status.FAILED_PRECONDITION, 'code');
    same(f.err.details, 'no: 100 % ü', 'message');
    same((await unary('None', Buffer.from('x'))).err.code, grpc.status.UNIMPLEMENTED, 'code of an unknown method');
    await new Promise((resolve, reject) => {
      const both = client.makeBidiStreamRequest('/test.Echo/Both', raw, raw, new grpc.Metadata(), { deadline: Date.now() + 30000 });
      let n = 0;
      both.on('data', () => { if (++n < 20) both.write(Buffer.alloc(n * 1000)); else both.end(); });
      both.on('error', reject);
      both.on('end', () => (n === 20 ? resolve() : reject(new Error(`${n} messages`))));
      both.write(Buffer.from('first'));
    });
    const both = client.makeBidiStreamRequest('/test.Echo/Both', raw, raw, new grpc.Metadata(), {});
    const cancelled = new Promise((resolve) => both.on('error', (e) => resolve(e.code)));
    both.write(Buffer.from('x'));
    both.once('data', () => both.cancel());
    same(await cancelled, grpc.status.CANCELLED, 'code of a call that was taken back');
    const late = client.makeBidiStreamRequest('/test.Echo/Both', raw, raw, new grpc.Metadata(), { deadline: Date.now() + 500 });
    same(await new Promise((resolve) => late.on('error', (e) => resolve(e.code))), grpc.status.DEADLINE_EXCEEDED, 'code of a call that took too long');
    client.close();
    console.log('all is well');
  })().catch((e) => { console.error(e); process.exit(1); });
}
