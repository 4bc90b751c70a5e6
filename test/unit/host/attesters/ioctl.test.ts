import { describe, expect, it } from 'vitest'
import { iowr, kernelIoctl } from '../../../../src/host/attesters/ioctl.ts'
import { loadKoffi } from '../../../../src/host/attesters/native.ts'
import { NSM_IOCTL_RAW } from '../../../../src/host/attesters/nitro.ts'
import { SNP_GET_EXT_REPORT, SNP_GET_REPORT } from '../../../../src/host/attesters/sev-guest.ts'

describe('request numbers', () => {
  it('are those that the kernel headers give', () => {
    expect(SNP_GET_REPORT).toBe(0xc0205300)
    expect(SNP_GET_EXT_REPORT).toBe(0xc0205302)
    expect(NSM_IOCTL_RAW).toBe(0xc0200a00)
    expect(iowr(0xff, 0xff, 0x3fff)).toBe(0xffffffff)
  })
})

describe('the call of the kernel', () => {
  it('reaches a real device, names its error, and leaves no address behind', async () => {
    const ioctl = await kernelIoctl()
    const argument = new Uint8Array(32).fill(7)
    const target = new Uint8Array(8)
    const pointers = [{ holder: argument, at: 8, target }]
    await expect(ioctl({ path: '/dev/null', request: SNP_GET_REPORT, argument, pointers })).resolves.toBe('ENOTTY')
    expect([...argument.subarray(0, 20)]).toEqual([...new Array(8).fill(7), ...new Array(8).fill(0), ...new Array(4).fill(7)])
  })

  it('hands buffers over and gets them back: a terminal says how much there is to read', async () => {
    const ioctl = await kernelIoctl()
    const answer = new Uint8Array(4).fill(0xff)
    // FIONREAD (include/uapi/asm-generic/ioctls.h) of a new terminal.
    const result = await ioctl({ path: '/dev/ptmx', request: 0x541b, argument: answer, pointers: [] })
    expect([result, [...answer]]).toEqual([null, [0, 0, 0, 0]])
  })

  it('refuses a device that is not there, as a typed error', async () => {
    const ioctl = await kernelIoctl()
    const call = { path: '/dev/sealgate-no-such-device', request: 0, argument: new Uint8Array(8), pointers: [] }
    await expect(ioctl(call)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE', at: call.path })
  })

  it('says what to install where the optional package is missing', async () => {
    const missing = loadKoffi(() =>
      Promise.reject(Object.assign(new Error("Cannot find package 'koffi'"), { code: 'ERR_MODULE_NOT_FOUND' })),
    )
    await expect(missing).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE', message: expect.stringContaining('npm install koffi') })
  })
})
