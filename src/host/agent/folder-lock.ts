import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { createServer } from 'node:net'
import { AttestError } from '../../verify/errors.ts'

/**
 * Keeps a second agent away from a state folder: it would report the first one's running job as lost. The lock is a name
 * in Linux's abstract socket namespace (unix(7)), which the kernel frees with the process, however that ends.
 * @returns a function that frees it.
 * @throws AttestError `STORE_LOCKED`.
 */
export async function lockFolder(folder: string): Promise<() => void> {
  const name = createHash('sha256')
    .update(await realpath(folder))
    .digest('hex')
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === 'EADDRINUSE'
      reject(taken ? new AttestError('STORE_LOCKED', `another host agent uses ${folder}`, { cause }) : cause)
    })
    server.listen(`\0sealgate-host-${name}`, resolve)
  })
  server.unref()
  return () => server.close()
}
