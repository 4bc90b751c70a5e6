/**
 * Program of the process that stands in the network namespace of a container. It opens connections to the one port on loopback
 * and hands them over; it reads and writes nothing on them.
 */
import { connect } from 'node:net'

const port = Number(process.argv[2])
const send = (message: object, socket?: ReturnType<typeof connect>): void => {
  // The agent may be gone; then 'disconnect' ends this process.
  process.send?.(message, socket, {}, () => undefined)
}

process.on('message', ({ id }: { id: number }) => {
  // Paused: what a server says first is for the agent to read.
  const socket = connect({ host: '127.0.0.1', port, noDelay: true }).pause()
  socket.once('error', ({ code }: NodeJS.ErrnoException) => send({ id, error: code ?? 'unknown' }))
  socket.once('connect', () => send({ id }, socket))
})
process.on('disconnect', () => process.exit(0))
send({ ready: true })
