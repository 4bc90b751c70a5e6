import * as cborg from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NSM_IOCTL_RAW, openNitro } from '../../../../src/host/attesters/nitro.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { testBytes } from '../../../support/keys.ts'
import { subjectOf } from '../fakes.ts'
import { type FakeCall, fakeIoctl } from './fake-ioctl.ts'

const device = '/dev/null'
const subject = subjectOf(new Uint8Array(64).fill(9))

function requestOf({ argument, at }: FakeCall): Uint8Array {
  return at(argument, 0)
}

/** As drivers/misc/nsm.c: copies the answer and writes its length into the second vector. */
function answer({ argument, at }: FakeCall, bytes: Uint8Array): null {
  at(argument, 16).set(bytes)
  new DataView(argument.buffer).setBigUint64(24, BigInt(bytes.length), true)
  return null
}

/** Bytes that hold what was asked for, as a document does. */
function documentFor(call: FakeCall): Uint8Array {
  const { Attestation } = cborg.decode(requestOf(call)) as { Attestation: { user_data: Uint8Array; nonce: Uint8Array } }
  return new Uint8Array(Buffer.concat([testBytes('head', 10), Attestation.user_data, Attestation.nonce, testBytes('tail', 90)]))
}

const good = (call: FakeCall): null => answer(call, cborg.encode({ Attestation: { document: documentFor(call) } }))

describe('nitro attester', () => {
  it('asks the module with the structures of the kernel header, and brings its document', async () => {
    const { ioctl, calls } = fakeIoctl(good)
    const attester = await openNitro(device, ioctl)
    expect(attester).toMatchObject({ format: 'nitro', simulated: false })
    const { report, endorsements } = await attester.attest(subject)
    const [call] = calls as [FakeCall]
    expect(report).toEqual(documentFor(call))
    expect(endorsements).toEqual([])
    expect(call).toMatchObject({ path: device, request: NSM_IOCTL_RAW })
    const view = new DataView(call.argument.buffer)
    expect([call.argument.length, Number(view.getBigUint64(8, true)), call.at(call.argument, 16).length]).toEqual([
      32,
      requestOf(call).length,
      0x3000,
    ])
    expect(cborg.decode(requestOf(call))).toEqual({
      Attestation: { user_data: subject.reportData, nonce: subject.nonce, public_key: subject.publicKey },
    })
  })

  it('leaves out a key that is larger than a document may hold', async () => {
    const { ioctl, calls } = fakeIoctl(good)
    const attester = await openNitro(device, ioctl)
    for (const size of [1024, 1025, 1216]) await attester.attest({ ...subject, publicKey: testBytes('key', size) })
    const sizes = calls.map(
      (c) => (cborg.decode(requestOf(c)) as { Attestation: { public_key: Uint8Array | null } }).Attestation.public_key?.length,
    )
    expect(sizes).toEqual([1024, undefined, undefined])
  })

  it('says what the module refused', async () => {
    const { ioctl } = fakeIoctl((call) => answer(call, cborg.encode({ Error: 'InputTooLarge' })))
    await expect((await openNitro(device, ioctl)).attest(subject)).rejects.toMatchObject({
      code: 'ATTESTER_UNAVAILABLE',
      message: expect.stringContaining('InputTooLarge'),
    })
  })

  const document = new Uint8Array(Buffer.concat([subject.reportData, subject.nonce]))
  it.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array()],
    ['a document of another question', cborg.encode({ Attestation: { document: testBytes('other', 200) } })],
    ['a document over our data but another nonce', cborg.encode({ Attestation: { document: subject.reportData } })],
    ['bytes after the answer', Buffer.concat([cborg.encode({ Attestation: { document } }), Buffer.of(0)])],
    ['a member too many', cborg.encode({ Attestation: { document, more: 1 } })],
    ['two answers in one', cborg.encode({ Attestation: { document }, Error: 'Success' })],
    ['a document that is text', cborg.encode({ Attestation: { document: 'text' } })],
    ['an error that steers the terminal', cborg.encode({ Error: '\u001b[2J' })],
    [
      'the same key twice',
      Buffer.concat([
        Buffer.of(0xa1),
        cborg.encode('Attestation'),
        Buffer.of(0xa2),
        ...[document, document].flatMap((d) => [cborg.encode('document'), cborg.encode(d)]),
      ]),
    ],
    [
      'an answer without a set length',
      Buffer.concat([Buffer.of(0xbf), cborg.encode('Error'), cborg.encode('InternalError'), Buffer.of(0xff)]),
    ],
    ['deep nesting', new Uint8Array(1000).fill(0x81)],
  ])('refuses %s', async (_what, bytes) => {
    const { ioctl } = fakeIoctl((call) => answer(call, bytes))
    await expect((await openNitro(device, ioctl)).attest(subject)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE', at: device })
  })

  it('refuses an answer that is longer than its buffer, and every error of the driver', async () => {
    const long = fakeIoctl(({ argument }) => {
      new DataView(argument.buffer).setBigUint64(24, 0x3001n, true)
      return null
    })
    const failed = fakeIoctl(() => 'EPERM')
    for (const { ioctl } of [long, failed]) {
      await expect((await openNitro(device, ioctl)).attest(subject)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    }
  })

  it('fails only with an AttestError, whatever the module answers', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => {
        const { ioctl } = fakeIoctl((call) => answer(call, bytes))
        const result: unknown = await (await openNitro(device, ioctl)).attest(subject).catch((e: unknown) => e)
        expect(result).toBeInstanceOf(AttestError)
      }),
    )
  })

  it('is not there without its device', async () => {
    await expect(openNitro('/dev/sealgate-no-such-device')).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
  })
})
