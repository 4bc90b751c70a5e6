import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openSevGuest, SNP_GET_EXT_REPORT, SNP_GET_REPORT } from '../../../../src/host/attesters/sev-guest.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { subjectOf } from '../fakes.ts'
import { type FakeCall, fakeIoctl, setU32, u32 } from './fake-ioctl.ts'

const device = '/dev/null'
const wanted = new Uint8Array(64).fill(9)
const subject = subjectOf(wanted)
const VCEK = Buffer.from('63da758de6644564adc5f4b93be8accd', 'hex')

/** What the driver does on success: MSG_REPORT_RSP with a report over the request's data, and the host's certificates. */
function succeed({ argument, at, request }: FakeCall, certificate = Uint8Array.of(0x30, 1, 2)): null {
  const body = at(argument, 8)
  const response = at(argument, 16)
  setU32(response, 4, 0x4a0)
  setU32(response, 0x20, 2)
  response.set(body.subarray(0, 64), 0x20 + 0x50)
  if (request !== SNP_GET_EXT_REPORT) return null
  const certs = at(body, 96)
  certs.set(VCEK)
  setU32(certs, 16, 48)
  setU32(certs, 20, certificate.length)
  certs.set(certificate, 48)
  return null
}

describe('sev-guest attester', () => {
  it('asks for an extended report with the structures of the kernel header, and brings report and certificates', async () => {
    const { ioctl, calls } = fakeIoctl((call) => succeed(call))
    const attester = await openSevGuest(device, ioctl)
    expect(attester).toMatchObject({ format: 'sev-snp', simulated: false })
    const { report, endorsements } = await attester.attest(subject)
    expect(report).toHaveLength(1184)
    expect(report.subarray(0x50, 0x90)).toEqual(wanted)
    expect(endorsements.map((e) => [...e])).toEqual([[0x30, 1, 2]])
    expect(calls).toHaveLength(1)
    const [{ path, request, argument, at }] = calls as [FakeCall]
    const body = at(argument, 8)
    expect({ path, request, size: argument.length, version: argument[0] }).toEqual({
      path: device,
      request: 0xc0205302,
      size: 32,
      version: 1,
    })
    expect({ size: body.length, data: body.subarray(0, 64), vmpl: u32(body, 64), certsLen: u32(body, 104) }).toEqual({
      size: 112,
      data: wanted,
      vmpl: 0,
      certsLen: 16384,
    })
    expect([at(argument, 16).length, at(body, 96).length]).toEqual([4000, 16384])
  })

  it('does without certificates when the host offers more than the driver takes', async () => {
    const { ioctl, calls } = fakeIoctl((call) => {
      if (call.request === SNP_GET_REPORT) return succeed(call)
      setU32(call.argument, 28, 1)
      setU32(call.at(call.argument, 8), 104, 1 << 20)
      return 'EIO'
    })
    const { report, endorsements } = await (await openSevGuest(device, ioctl)).attest(subject)
    expect([report.length, endorsements]).toEqual([1184, []])
    expect(calls.map((c) => [c.request, c.at(c.argument, 8).length])).toEqual([
      [SNP_GET_EXT_REPORT, 112],
      [SNP_GET_REPORT, 96],
    ])
  })

  it('reads nothing out of a damaged table of the host', async () => {
    const { ioctl } = fakeIoctl((call) => {
      succeed(call)
      setU32(call.at(call.at(call.argument, 8), 96), 16, 0xffffffff)
      return null
    })
    await expect((await openSevGuest(device, ioctl)).attest(subject)).resolves.toMatchObject({ endorsements: [] })
  })

  it.each([
    ['ENOTTY', 0, 0, 'ENOTTY'],
    ['EIO', 0xffffffff, 0xffffffff, 'the firmware was not called'],
    ['EIO', 0x16, 0, 'firmware error 0x16'],
    ['EAGAIN', 0, 2, 'the hypervisor is busy'],
    ['EIO', 0, 0xdead, 'hypervisor error 57005'],
  ])('maps %s with firmware error %i and hypervisor error %i', async (errno, fwError, vmmError, text) => {
    const { ioctl, calls } = fakeIoctl(({ argument }) => {
      setU32(argument, 24, fwError)
      setU32(argument, 28, vmmError)
      return errno
    })
    const attempt = (await openSevGuest(device, ioctl)).attest(subject)
    await expect(attempt).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE', at: device, message: expect.stringContaining(text) })
    expect(calls).toHaveLength(1)
  })

  it.each<[string, (response: Uint8Array) => void, string]>([
    ['a status of the firmware', (r) => setU32(r, 0, 0x16), 'status 0x16'],
    ['no report at all', (r) => r.fill(0), 'without a report'],
    ['a report of another size', (r) => setU32(r, 4, 1183), 'without a report'],
    ['a report over other data', (r) => r.fill(0xee, 0x20 + 0x50, 0x20 + 0x90), 'other data'],
    ['reserved bytes that are set', (r) => r.fill(1, 8, 9), 'reserved'],
    ['bytes after the report', (r) => r.fill(1, 3999, 4000), 'after the report'],
  ])('refuses %s', async (_what, change, text) => {
    const { ioctl } = fakeIoctl((call) => {
      succeed(call)
      change(call.at(call.argument, 16))
      return null
    })
    const error: unknown = await (await openSevGuest(device, ioctl)).attest(subject).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(AttestError)
    expect(String(error)).toContain(text)
  })

  it('fails only with an AttestError, whatever a driver answers', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 300 }),
        fc.uint8Array({ minLength: 8, maxLength: 8 }),
        fc.boolean(),
        async (bytes, codes, ok) => {
          const { ioctl } = fakeIoctl(({ argument, at }) => {
            at(argument, 16).set(bytes)
            argument.set(codes, 24)
            return ok ? null : 'EIO'
          })
          const result: unknown = await (await openSevGuest(device, ioctl)).attest(subject).catch((e: unknown) => e)
          expect(result).toBeInstanceOf(AttestError)
        },
      ),
    )
  })

  it('is not there without its device', async () => {
    await expect(openSevGuest('/dev/sealgate-no-such-device')).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
  })

  it('says so when a device of that name is another one', async () => {
    await expect((await openSevGuest('/dev/null')).attest(subject)).rejects.toMatchObject({
      code: 'ATTESTER_UNAVAILABLE',
      message: 'no SEV-SNP report: ENOTTY',
    })
  })
})
