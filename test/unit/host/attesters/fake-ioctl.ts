import type { Ioctl, IoctlCall } from '../../../../src/host/attesters/ioctl.ts'

/** The kernel's side of a call: what lies where an address points, by the address's place. */
export interface FakeCall extends IoctlCall {
  readonly at: (holder: Uint8Array, offset: number) => Uint8Array
}

/** Calls that a fake driver answers: with null, or with the name of an error. */
export function fakeIoctl(answer: (call: FakeCall) => string | null): { readonly ioctl: Ioctl; readonly calls: FakeCall[] } {
  const calls: FakeCall[] = []
  const ioctl: Ioctl = (call) => {
    const fake: FakeCall = {
      ...call,
      at: (holder, offset) => {
        const found = call.pointers.find((p) => p.holder === holder && p.at === offset)
        if (found === undefined) throw new Error(`no address at ${offset}`)
        return found.target
      },
    }
    calls.push(fake)
    return Promise.resolve(answer(fake))
  }
  return { ioctl, calls }
}

export function u32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true)
}

export function setU32(bytes: Uint8Array, at: number, value: number): void {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, value, true)
}
