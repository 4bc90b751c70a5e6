// A process of its own: a bare TLS 1.3 server with client certificates that throws away what it gets and answers one byte at the end.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:tls'

const [cert, key, ca] = process.argv.slice(2).map((path) => readFileSync(path))
const server = createServer({ cert, key, ca, requestCert: true, minVersion: 'TLSv1.3', allowHalfOpen: true }, (socket) => {
  socket.resume()
  socket.on('end', () => socket.end('.'))
  socket.on('error', () => socket.destroy())
})
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
