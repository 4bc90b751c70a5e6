// A process of its own: relays TCP connections to 127.0.0.1:PORT and holds everything back for half of ROUND_TRIP_MS each way.
// It models delay alone: no loss, no bandwidth limit, and TCP itself runs at both ends without delay.
import { connect, createServer } from 'node:net'

const [port, roundTripMs] = process.argv.slice(2).map(Number)
const half = roundTripMs / 2
const HELD_AT_MOST = 64 * 1024 * 1024

function relay(from, to) {
  let held = 0
  from.on('data', (chunk) => {
    held += chunk.length
    if (held > HELD_AT_MOST) from.pause()
    setTimeout(() => {
      held -= chunk.length
      to.write(chunk)
      if (from.isPaused() && held <= HELD_AT_MOST / 2) from.resume()
    }, half)
  })
  from.on('end', () => setTimeout(() => to.end(), half))
  from.on('error', () => to.destroy())
}

const server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => {
  const far = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  relay(near, far)
  relay(far, near)
})
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
