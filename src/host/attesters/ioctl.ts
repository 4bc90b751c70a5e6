import { type FileHandle, open } from 'node:fs/promises'
import { getSystemErrorMap } from 'node:util'
import { AttestError } from '../../verify/errors.ts'
import { type Koffi, loadKoffi } from './native.ts'

/** An address that a driver's structure holds. */
export interface IoctlPointer {
  /** The structure that holds the address, u64 little-endian, at `at`. */
  readonly holder: Uint8Array
  readonly at: number
  /** What the address points at. */
  readonly target: Uint8Array
}

/** One call of a device's driver, which may change `argument` and every target. */
export interface IoctlCall {
  readonly path: string
  readonly request: number
  readonly argument: Uint8Array
  readonly pointers: readonly IoctlPointer[]
}

/**
 * Makes the call; the addresses are zero again when it returns.
 * @returns null, or the name of the error number, such as `ENOTTY`.
 * @throws AttestError `ATTESTER_UNAVAILABLE` when the device cannot be opened.
 */
export type Ioctl = (call: IoctlCall) => Promise<string | null>

/** Request number of a driver that reads and writes its argument (Linux include/uapi/asm-generic/ioctl.h `_IOWR`). */
export function iowr(type: number, nr: number, size: number): number {
  return ((3 << 30) | (size << 16) | (type << 8) | nr) >>> 0
}

/** The kernel's own. @throws AttestError `ATTESTER_UNAVAILABLE` without the optional package. */
export async function kernelIoctl(): Promise<Ioctl> {
  const koffi = await loadKoffi()
  const ioctl = koffi.load(null).func('int ioctl(int fd, unsigned long request, void *argument)')
  return async (call) => {
    const file = await openDevice(call.path)
    try {
      setAddresses(call.pointers, (target) => koffi.address(target))
      // On a thread of its own, since firmware may take its time; the buffers are held by `call` until it is back.
      return await new Promise<string | null>((resolve, reject) => {
        ioctl.async(file.fd, call.request, call.argument, (error: Error | null, result: number) => {
          if (error === null) resolve(result === 0 ? null : errorName(koffi))
          else reject(error)
        })
      })
    } finally {
      setAddresses(call.pointers, () => 0n)
      await file.close()
    }
  }
}

async function openDevice(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+')
  } catch (cause) {
    throw new AttestError('ATTESTER_UNAVAILABLE', `cannot open ${path}`, { at: path, cause })
  }
}

function setAddresses(pointers: readonly IoctlPointer[], addressOf: (target: Uint8Array) => bigint): void {
  for (const { holder, at, target } of pointers) {
    new DataView(holder.buffer, holder.byteOffset).setBigUint64(at, addressOf(target), true)
  }
}

function errorName(koffi: Koffi): string {
  const number = koffi.errno()
  return getSystemErrorMap().get(-number)?.[0] ?? `errno ${number}`
}
