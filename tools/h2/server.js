// A server of HTTP/2 without TLS in Node, for client.js and others.
const http2 = require('node:http2');
const server = http2.createServer();
server.on('stream', (s, h) => {
  s.on('error', () => {}); // the client took it back
  const path = h[':path'].split('?')[0];
  if (path === '/slow') return;
  let got = 'no';
  s.on('trailers', (t) => { got = t['x-sent']; });
  if (path === '/hints') s.additionalHeaders({ ':status': 103, link: '</a>' });
  if (h[':method'] === 'HEAD') { s.respond({ ':status': 200 }, { endStream: true }); return; }
  if (path === '/trailers') {
    let body = '';
    s.on('data', (d) => { body += d; });
    s.on('end', () => {
      s.respond({ ':status': 200 }, { waitForTrailers: true });
      s.on('wantTrailers', () => s.sendTrailers({ 'x-end': 'yes', 'x-got': got }));
      s.end(body);
    });
    return;
  }
  s.respond({ ':status': 200 });
  s.pipe(s);
});
server.listen(0, '127.0.0.1', () => console.error(`listening=127.0.0.1:${server.address().port}`));
