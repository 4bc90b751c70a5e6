import { bytesOf, entryFromWire, type sealgate } from '../../rpc/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import { HPKE_SUITES, type HpkeSuiteName } from '../../verify/documents/keys.ts'
import { AttestError } from '../../verify/errors.ts'
import type { KeyRelease } from '../job/job.ts'
import type { Offer } from '../job/offer.ts'
import type { ReleasePart, SealedKey } from '../job/read-release.ts'

const JOB_ID = /^[A-Za-z0-9_-]{22}$/

/** Job ids name files here, so their form is checked first. @throws AttestError `DOCUMENT_INVALID`. */
export function jobIdFromWire(jobId: string | null | undefined): string {
  if (jobId === null || jobId === undefined || !JOB_ID.test(jobId))
    throw new AttestError('DOCUMENT_INVALID', 'not a job id', { at: 'jobId' })
  return jobId
}

/** It becomes part of a path. @throws AttestError `DOCUMENT_INVALID`. */
export function connectionFromWire(connection: string | null | undefined): string {
  if (connection == null || !JOB_ID.test(connection))
    throw new AttestError('DOCUMENT_INVALID', 'not a connection id', { at: 'connectionId' })
  return connection
}

export function offerFromWire(wire: sealgate.v1.IJobOffer): Offer {
  return {
    jobId: jobIdFromWire(wire.jobId),
    contract: bytesOf(wire.contractJws),
    ownerNonces: (wire.ownerNonces ?? []).map(bytesOf),
    kemSuite: suiteOf(wire.kemSuite),
    checkpoint: wire.checkpoint ?? '',
  }
}

/** @throws AttestError `DOCUMENT_INVALID`, `SUITE_UNSUPPORTED`. */
export function releaseFromWire(wire: sealgate.v1.IKeyRelease): KeyRelease {
  return {
    grants: (wire.grantsJws ?? []).map(bytesOf),
    policies: (wire.policies ?? []).map(bytesOf),
    parts: (wire.parts ?? []).map(partFromWire),
    ear: bytesOf(wire.ear),
  }
}

function partFromWire(wire: sealgate.v1.IReleasePart): ReleasePart {
  return { intent: bytesOf(wire.intentJws), entry: entryFromWire(wire.entry), keys: (wire.keys ?? []).map(keyFromWire) }
}

function keyFromWire(wire: sealgate.v1.ISealedKey): SealedKey {
  return {
    header: toBase64Url(bytesOf(wire.headerDigest)),
    suite: suiteOf(wire.suite),
    enc: bytesOf(wire.enc),
    ciphertext: bytesOf(wire.ciphertext),
  }
}

function suiteOf(name: string | null | undefined): HpkeSuiteName {
  const suite = HPKE_SUITES.find((known) => known === name)
  if (suite === undefined) throw new AttestError('SUITE_UNSUPPORTED', 'the gateway names an unknown HPKE suite', { at: 'suite' })
  return suite
}
