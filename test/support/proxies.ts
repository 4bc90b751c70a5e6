import { createConnection, createServer, type Socket } from 'node:net'

/** A port that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof bound === 'object' && bound !== null ? bound.port : 0
}

export interface TcpProxy {
  /** host:port */
  readonly address: string
  /** How many connections were tampered with. */
  readonly flipped: number
  close(): Promise<void>
}

/**
 * Passes bytes between callers and `target` and flips one bit of each connection, at `offset` in the named direction. It knows
 * nothing of TLS: this is an attacker on the wire.
 */
export async function startFlipper(target: string, direction: 'up' | 'down', offset: number): Promise<TcpProxy> {
  const [host = '', port = ''] = target.split(':')
  const sockets = new Set<Socket>()
  const state = { flipped: 0 }
  const flipping = (): ((chunk: Buffer) => Buffer) => {
    let seen = 0
    return (chunk) => {
      const at = offset - seen
      seen += chunk.length
      if (at < 0 || at >= chunk.length) return chunk
      state.flipped++
      const changed = Buffer.from(chunk)
      changed[at] = (changed[at] ?? 0) ^ 0x10
      return changed
    }
  }
  const server = createServer((caller) => {
    const onward = createConnection(Number(port), host)
    const [up, down] = [flipping(), flipping()]
    for (const [from, to, change] of [
      [caller, onward, direction === 'up' ? up : (c: Buffer) => c],
      [onward, caller, direction === 'down' ? down : (c: Buffer) => c],
    ] as const) {
      sockets.add(from)
      from.on('data', (chunk: Buffer) => to.write(change(chunk)))
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  return {
    address: `127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`,
    get flipped() {
      return state.flipped
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
