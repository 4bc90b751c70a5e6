import { open } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { AttestError } from '../../verify/errors.ts'

/** A way to a TPM: one command, one response, one at a time. */
export interface TpmTransport {
  transmit(command: Uint8Array): Promise<Uint8Array>
  close(): Promise<void>
}

/** Linux's resource manager: what is loaded through it is flushed when it is closed. */
export const TPM_DEVICE = '/dev/tpmrm0'

/** Largest response (TPM2_PT_MAX_RESPONSE_SIZE is 4096 on every known TPM), and the header that gives its size. */
const MAX_RESPONSE = 4096
const HEADER_SIZE = 10

/** @throws AttestError `ATTESTER_UNAVAILABLE`. */
export async function openTpmDevice(path: string = TPM_DEVICE): Promise<TpmTransport> {
  try {
    const file = await open(path, 'r+')
    return {
      async transmit(command) {
        await file.write(command)
        const { bytesRead, buffer } = await file.read(new Uint8Array(MAX_RESPONSE))
        return buffer.subarray(0, bytesRead)
      },
      close: () => file.close(),
    }
  } catch (cause) {
    throw new AttestError('ATTESTER_UNAVAILABLE', 'cannot open the TPM', { at: path, cause })
  }
}

/**
 * A TPM behind a socket that speaks bare commands and responses, as swtpm does.
 * @throws AttestError `ATTESTER_UNAVAILABLE`.
 */
export async function connectTpm(host: string, port: number, timeoutMs = 10_000): Promise<TpmTransport> {
  const socket = connect({ host, port })
  socket.on('timeout', () => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)))
  // A connection that breaks while nobody waits is noticed by the next command.
  socket.on('error', () => undefined)
  socket.setTimeout(timeoutMs)
  await settled(socket, `${host}:${port}`)
  socket.setTimeout(0)
  return { transmit: (command) => exchange(socket, command, timeoutMs), close: () => end(socket) }
}

/**
 * @param place - Path of the device, or `tcp:HOST:PORT`.
 * @throws AttestError `ATTESTER_UNAVAILABLE`.
 */
export function openTpmAt(place: string): Promise<TpmTransport> {
  const [, host, port] = /^tcp:([^:]+):(\d{1,5})$/.exec(place) ?? []
  return host === undefined ? openTpmDevice(place) : connectTpm(host, Number(port))
}

function settled(socket: Socket, at: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (cause: Error): void => reject(new AttestError('ATTESTER_UNAVAILABLE', 'cannot connect to the TPM', { at, cause }))
    socket.once('error', refuse)
    socket.once('connect', () => {
      socket.off('error', refuse)
      resolve()
    })
  })
}

function exchange(socket: Socket, command: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
  if (socket.destroyed) return Promise.reject(new Error('the connection is gone'))
  return new Promise((resolve, reject) => {
    let received = new Uint8Array(0)
    const stop = (): void => {
      socket.setTimeout(0)
      socket.off('data', take)
      socket.off('error', fail)
      socket.off('close', closed)
    }
    const fail = (cause: Error): void => {
      stop()
      reject(cause)
    }
    const closed = (): void => fail(new Error('the TPM closed the connection'))
    const take = (part: Uint8Array): void => {
      received = Uint8Array.from([...received, ...part])
      if (received.length > MAX_RESPONSE) fail(new Error(`more than ${MAX_RESPONSE} bytes`))
      else if (received.length >= HEADER_SIZE && received.length >= sizeOf(received)) {
        stop()
        resolve(received)
      }
    }
    socket.on('data', take)
    socket.once('error', fail)
    socket.once('close', closed)
    socket.setTimeout(timeoutMs)
    socket.write(command)
  })
}

function sizeOf(response: Uint8Array): number {
  return new DataView(response.buffer, response.byteOffset).getUint32(2)
}

async function end(socket: Socket): Promise<void> {
  if (socket.destroyed) return
  const gone = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.destroySoon()
  await gone
}
