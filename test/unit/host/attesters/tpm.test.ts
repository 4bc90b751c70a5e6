import { createServer, type Socket } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attestTpm } from '../../../../src/host/attesters/tpm.ts'
import { connectTpm, type TpmTransport } from '../../../../src/host/attesters/tpm-transport.ts'
import { concat, fromHex } from '../../../../src/verify/bytes/bytes.ts'
import { defined } from '../../../support/defined.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { attest, be16, be32, digest, NONCE, sized, TestAk } from '../../../support/tpm-maker.ts'

const [CREATE_PRIMARY, FLUSH, QUOTE, PCR_READ, READ_PUBLIC] = [0x131, 0x165, 0x158, 0x17e, 0x173]
const ak = new TestAk('p256')
const zeros = new Uint8Array(32)

const plain = (body: Uint8Array, rc = 0): Uint8Array => concat(be16(0x8001), be32(10 + body.length), be32(rc), body)
const session = (handle: Uint8Array, parameters: Uint8Array, auth = fromHex('0000010000')): Uint8Array => {
  const body = concat(handle, be32(parameters.length), parameters, auth)
  return concat(be16(0x8002), be32(10 + body.length), be32(0), body)
}

/** A TPM with PCR 0 alone, in memory. */
class FakeTpm implements TpmTransport {
  readonly commands: number[] = []
  /** Another answer for a command, or null for the right one. */
  answer: (code: number, count: number) => Uint8Array | null = () => null
  value = zeros
  quoted = zeros

  transmit(command: Uint8Array): Promise<Uint8Array> {
    const code = new DataView(command.buffer, command.byteOffset).getUint32(6)
    this.commands.push(code)
    const other = this.answer(code, this.commands.filter((c) => c === code).length)
    return Promise.resolve(other ?? this.#right(code))
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #right(code: number): Uint8Array {
    const selections = [{ bank: 'sha256', pcrs: [0] }] as const
    if (code === CREATE_PRIMARY) return session(be32(0x80000000), sized(ak.publicArea()))
    if (code === QUOTE) {
      const message = attest({ selections, pcrDigest: digest('sha256', this.quoted) })
      return session(new Uint8Array(0), concat(sized(message), ak.sign(message)))
    }
    if (code === PCR_READ) return plain(concat(be32(1), be32(1), be16(11), fromHex('03010000'), be32(1), sized(this.value)))
    if (code === READ_PUBLIC) return plain(concat(sized(ak.publicArea()), sized(zeros), sized(zeros)))
    return plain(new Uint8Array(0))
  }
}

const ask = (tpm: TpmTransport): Promise<string> => outcomeOf(() => attestTpm(tpm, { nonce: NONCE, pcrs: [0] }))

describe('a TPM attester', () => {
  it('makes a key, quotes, reads the values, flushes the key', async () => {
    const tpm = new FakeTpm()
    const { akPublic } = await attestTpm(tpm, { nonce: NONCE, pcrs: [0] })
    expect(akPublic).toEqual(ak.publicArea())
    expect(tpm.commands).toEqual([CREATE_PRIMARY, QUOTE, PCR_READ, FLUSH])
  })

  it('uses a key that lies in the TPM and leaves it there', async () => {
    const tpm = new FakeTpm()
    await attestTpm(tpm, { nonce: NONCE, pcrs: [0], akHandle: 0x81000003 })
    expect(tpm.commands).toEqual([READ_PUBLIC, QUOTE, PCR_READ])
  })

  it('sends a command again to a TPM that is busy, but not for ever', async () => {
    const tpm = new FakeTpm()
    tpm.answer = (code, count) => (code === QUOTE && count < 3 ? plain(new Uint8Array(0), 0x922) : null)
    expect(await ask(tpm)).toBe('accepted')
    tpm.answer = () => plain(new Uint8Array(0), 0x922)
    expect(await ask(tpm)).toBe('ATTESTER_UNAVAILABLE')
  })

  it('quotes again when a PCR changed in between, but not for ever', async () => {
    const tpm = new FakeTpm()
    tpm.value = new Uint8Array(32).fill(1)
    tpm.answer = (code, count) => {
      if (code === QUOTE && count === 2) tpm.quoted = tpm.value
      return null
    }
    expect(await ask(tpm)).toBe('accepted')
    expect(tpm.commands.filter((c) => c === QUOTE)).toHaveLength(2)
    tpm.quoted = zeros
    tpm.answer = () => null
    expect(await ask(tpm)).toBe('ATTESTER_UNAVAILABLE')
    expect(tpm.commands.at(-1)).toBe(FLUSH)
  })

  it.each([
    ['an error', CREATE_PRIMARY, plain(new Uint8Array(0), 0x101)],
    ['less than a header', CREATE_PRIMARY, new Uint8Array(9)],
    ['another size than it says', QUOTE, concat(session(new Uint8Array(0), zeros), Uint8Array.of(0))],
    ['no session where there was one', QUOTE, plain(zeros)],
    [
      'an HMAC that nobody asked for',
      CREATE_PRIMARY,
      session(be32(0x80000000), sized(zeros), concat(be16(0), Uint8Array.of(1), sized(zeros))),
    ],
    ['parameters that pass their end', CREATE_PRIMARY, session(be32(0x80000000), be16(5))],
    ['a quote for somebody else', QUOTE, quoteOf(new Uint8Array(32))],
    ['PCRs that were not asked for', PCR_READ, plain(concat(be32(1), be32(1), be16(11), fromHex('03020000'), be32(1), sized(zeros)))],
    ['no PCR', PCR_READ, plain(concat(be32(1), be32(1), be16(11), fromHex('03000000'), be32(0)))],
    [
      'more digests than PCRs',
      PCR_READ,
      plain(concat(be32(1), be32(1), be16(11), fromHex('03010000'), be32(2), sized(zeros), sized(zeros))),
    ],
  ])('is unavailable for a TPM that answers with %s', async (_, wrong, response) => {
    const tpm = new FakeTpm()
    tpm.answer = (code) => (code === wrong ? response : null)
    expect(await ask(tpm)).toBe('ATTESTER_UNAVAILABLE')
  })

  it('fails only with an AttestError, whatever the TPM answers', async () => {
    const tpm = new FakeTpm()
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(CREATE_PRIMARY, QUOTE, PCR_READ), fc.uint8Array({ maxLength: 80 }), async (wrong, body) => {
        tpm.answer = (code) =>
          code === wrong ? concat(be16(wrong === PCR_READ ? 0x8001 : 0x8002), be32(10 + body.length), be32(0), body) : null
        expect(await ask(tpm)).not.toBe('accepted')
      }),
    )
  })

  it.each([
    ['no nonce', { nonce: new Uint8Array(0) }],
    ['a nonce that no quote holds', { nonce: new Uint8Array(65) }],
    ['no PCR', { nonce: NONCE, pcrs: [] }],
    ['a PCR that no TPM has', { nonce: NONCE, pcrs: [24] }],
    ['half a PCR', { nonce: NONCE, pcrs: [0.5] }],
  ])('refuses a caller with %s', async (_, options) => {
    expect(await outcomeOf(() => attestTpm(new FakeTpm(), options))).toBe('USAGE')
  })
})

function quoteOf(extraData: Uint8Array): Uint8Array {
  const message = attest({ extraData, selections: [{ bank: 'sha256', pcrs: [0] }], pcrDigest: digest('sha256', zeros) })
  return session(new Uint8Array(0), concat(sized(message), ak.sign(message)))
}

describe('a TPM behind a socket', () => {
  async function withServer(serve: (socket: Socket) => void, test: (tpm: TpmTransport) => Promise<void>): Promise<void> {
    const sockets: Socket[] = []
    const server = createServer((socket) => {
      sockets.push(socket)
      socket.on('error', () => undefined)
      serve(socket)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = defined(server.address())
    const tpm = await connectTpm('127.0.0.1', typeof address === 'string' ? 0 : address.port, 200)
    try {
      await test(tpm)
    } finally {
      await tpm.close()
      for (const socket of sockets) socket.destroy()
      server.close()
    }
  }

  it('may answer in pieces', async () => {
    const answer = plain(zeros)
    await withServer(
      (socket) =>
        socket.on('data', () => {
          socket.write(answer.subarray(0, 4))
          setImmediate(() => socket.write(answer.subarray(4)))
        }),
      async (tpm) => expect(await tpm.transmit(Uint8Array.of(1))).toEqual(answer),
    )
  })

  it('is given up when it hangs, hangs up or floods', async () => {
    for (const serve of [
      () => undefined,
      (socket: Socket) => void socket.on('data', () => socket.end()),
      (socket: Socket) => void socket.on('data', () => socket.write(new Uint8Array(5000).fill(0xff))),
    ]) {
      await withServer(serve, async (tpm) => {
        expect(await outcomeOf(() => attestTpm(tpm, { nonce: NONCE }))).toBe('ATTESTER_UNAVAILABLE')
        expect(await outcomeOf(() => attestTpm(tpm, { nonce: NONCE }))).toBe('ATTESTER_UNAVAILABLE')
      })
    }
  })
})
