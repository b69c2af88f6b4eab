// A client of HTTP/2 in Node: requests of all kinds on one connection, of which it
// says what went wrong. Its arguments are the origin and whether to trust all.
const http2 = require('node:http2');
const [origin] = process.argv.slice(2);
const session = http2.connect(origin, { rejectUnauthorized: false });
const ask = (fields, body, trailers) => new Promise((resolve, reject) => {
  const s = session.request(fields, { endStream: body === undefined, waitForTrailers: !!trailers });
  const out = { body: '' };
  s.on('response', (h) => { out.status = h[':status']; out.fields = h; });
  s.on('headers', (h) => { out.interim = h[':status']; });
  s.on('trailers', (h) => { out.trailers = h; });
  s.on('wantTrailers', () => s.sendTrailers(trailers));
  s.setEncoding('utf8');
  s.on('data', (d) => { out.body += d; });
  s.on('error', reject);
  s.on('end', () => resolve(out));
  if (body !== undefined) s.end(body);
});
const same = (got, want, what) => { if (got !== want) throw new Error(`${what}: got ${got}; want ${want}`); };
(async () => {
  const large = 'x'.repeat(200000);
  const all = await Promise.all([...Array(40).keys()].map((i) => ask({ ':path': `/echo?${i}`, ':method': 'POST' }, i % 2 ? large : `body ${i}`)));
  all.forEach((a, i) => { same(a.status, 200, 'status'); same(a.body, i % 2 ? large : `body ${i}`, `body of ${i}`); });
  const t = await ask({ ':path': '/trailers', ':method': 'POST', trailer: 'x-sent' }, 'x', { 'x-sent': 'yes' });
  same(t.trailers && t.trailers['x-end'], 'yes', 'trailer');
  same(t.trailers['x-got'], 'yes', 'trailer of the request');
  const h = await ask({ ':path': '/hints' });
  same(h.interim, 103, 'interim response');
  const head = await ask({ ':path': '/echo', ':method': 'HEAD' });
  same(head.status, 200, 'status of HEAD');
  const cancelled = session.request({ ':path': '/slow' });
  await new Promise((resolve) => { cancelled.on('close', resolve); cancelled.on('error', () => {}); setImmediate(() => cancelled.close(http2.constants.NGHTTP2_CANCEL)); });
  same((await ask({ ':path': '/echo', ':method': 'POST' }, 'after')).body, 'after', 'body after a request that was taken back');
  session.close();
  console.log('all is well');
})().catch((e) => { console.error(e); process.exit(1); });
