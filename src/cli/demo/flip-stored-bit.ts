import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { GATEWAY_FILES } from '../../gateway/config/config.ts'

/**
 * Changes one bit in the middle of a stored ciphertext, as whoever runs the gateway can.
 * @returns a function that changes it back.
 */
export async function flipStoredBit(gatewayFolder: string, blobId: string): Promise<() => Promise<void>> {
  const path = join(gatewayFolder, GATEWAY_FILES.data, 'blobs', blobId)
  const flip = async (): Promise<void> => {
    const file = await open(path, 'r+')
    try {
      const at = Math.floor((await file.stat()).size / 2)
      const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at)
      await file.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, at)
    } finally {
      await file.close()
    }
  }
  await flip()
  return flip
}
