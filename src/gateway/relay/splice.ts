import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'

/** Nothing moved for so long: nobody is there. Above what either end lets pass. */
const IDLE_MS = 20 * 60_000
/** How long the one end may take to close after the other has. */
const LINGER_MS = 5000

/** Passes bytes both ways, as fast as the slower side takes them, until one side ends. */
export function splice(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const socket = from as TLSSocket
    socket.setNoDelay?.(true)
    socket.setTimeout?.(IDLE_MS, () => from.destroy())
    from.on('error', () => undefined)
    from.on('close', () => {
      // What came in order goes out in order; what was cut off is cut off.
      if (!from.readableEnded) return void to.destroy()
      to.end()
      setTimeout(() => to.destroy(), LINGER_MS).unref()
    })
    from.pipe(to)
  }
}
