import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import { fromServiceError, publicError, STATUS_OF, toServiceError } from '../../../src/rpc/errors.ts'
import { httpStatusOf } from '../../../src/rpc/http.ts'
import { AttestError, ERROR_CODES, type ErrorCode } from '../../../src/verify/errors.ts'

const codes = Object.keys(ERROR_CODES) as ErrorCode[]

function overTheWire(error: unknown): ServiceError {
  return Object.assign(new Error('rpc'), { code: status.UNKNOWN, details: '', metadata: new Metadata(), ...toServiceError(error) })
}

describe('errors on the wire', () => {
  it.each(codes.filter((c) => c !== 'INTERNAL'))('%s arrives as itself, with its place', (code) => {
    const arrived = fromServiceError(overTheWire(new AttestError(code, 'why', { at: 'snp.report@0x050', cause: new Error('secret') })))
    expect([arrived.code, arrived.message, arrived.at]).toEqual([code, 'why', 'snp.report@0x050'])
  })

  it('keeps the cause of an error at home', () => {
    const wire = toServiceError(new AttestError('CHAIN_INVALID', 'why', { cause: new Error('inner detail') }))
    expect(JSON.stringify([wire.details, wire.metadata?.toJSON()])).not.toContain('inner detail')
  })

  it('answers an unknown error and INTERNAL with the same words and nothing else', () => {
    for (const error of [new Error('path /secret'), new AttestError('INTERNAL', 'path /secret'), 'text', undefined]) {
      expect(publicError(error)).toEqual({ code: 'INTERNAL', message: 'internal error', at: null })
      expect(overTheWire(error).details).toBe('internal error')
    }
  })

  it.each([
    [status.UNAVAILABLE, 'GATEWAY_UNREACHABLE'],
    [status.INTERNAL, 'GATEWAY_UNREACHABLE'],
    [status.DEADLINE_EXCEEDED, 'DEADLINE'],
    [status.CANCELLED, 'CANCELLED'],
    [status.RESOURCE_EXHAUSTED, 'LIMIT_EXCEEDED'],
    [status.UNIMPLEMENTED, 'INTERNAL'],
  ] as const)('reads bare status %s as %s', (code, want) => {
    const bare = Object.assign(new Error('x'), { code, details: 'x', metadata: new Metadata() })
    expect(fromServiceError(bare).code).toBe(want)
  })

  it('does not believe details of another domain or with an unknown reason', () => {
    for (const details of [Buffer.from('garbage'), Buffer.from([0xff, 0xff])]) {
      const metadata = new Metadata()
      metadata.set('grpc-status-details-bin', details)
      const error = Object.assign(new Error('x'), { code: status.UNAVAILABLE, details: 'x', metadata })
      expect(fromServiceError(error).code).toBe('GATEWAY_UNREACHABLE')
    }
  })

  it('maps every code to a gRPC and an HTTP error status', () => {
    for (const code of codes) {
      expect(STATUS_OF[code]).not.toBe(status.OK)
      expect(httpStatusOf(code)).toBeGreaterThanOrEqual(400)
    }
  })
})
