import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { createServer } from 'node:net'
import { AttestError } from '../verify/errors.ts'

/**
 * Keeps a second process of its kind away from a folder: two witnesses could cosign two histories. The lock is a name in Linux's abstract
 * socket namespace (unix(7)), which the kernel frees with the process, however that ends.
 * @param holder - What runs there; each kind has a lock of its own.
 * @returns a function that frees it.
 * @throws AttestError `STORE_LOCKED`, `FILE_UNREADABLE` for a folder that is not there.
 */
export async function lockFolder(folder: string, holder: 'witness' | 'broker' | 'broker-command'): Promise<() => void> {
  const name = createHash('sha256')
    .update(await realName(folder))
    .digest('hex')
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === 'EADDRINUSE'
      reject(taken ? new AttestError('STORE_LOCKED', `another ${holder.replace('-', ' ')} uses ${folder}`, { cause }) : cause)
    })
    server.listen(`\0sealgate-${holder}-${name}`, resolve)
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
