import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { createServer } from 'node:net'
import { AttestError } from '../verify/errors.ts'

/**
 * Keeps a second witness away from a folder: two of them could cosign two histories. The lock is a name in Linux's abstract
 * socket namespace (unix(7)), which the kernel frees with the process, however that ends.
 * @returns a function that frees it.
 * @throws AttestError `STORE_LOCKED`, `FILE_UNREADABLE` for a folder that is not there.
 */
export async function lockFolder(folder: string): Promise<() => void> {
  const name = createHash('sha256')
    .update(await realName(folder))
    .digest('hex')
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === 'EADDRINUSE'
      reject(taken ? new AttestError('STORE_LOCKED', `another witness uses ${folder}`, { cause }) : cause)
    })
    server.listen(`\0sealgate-witness-${name}`, resolve)
  })
  server.unref()
  return () => server.close()
}

async function realName(folder: string): Promise<string> {
  try {
    return await realpath(folder)
  } catch (cause) {
    throw new AttestError('FILE_UNREADABLE', `${folder} cannot be read`, { cause })
  }
}
