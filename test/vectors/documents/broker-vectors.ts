import { existsSync, readFileSync } from 'node:fs'
import { type EntrustContext, generateKemKey, type KemKey, Secret, unwrapEntrusted, wrapEntrusted } from '../../../src/seal/index.ts'
import { issueFlattenedJws, publicOf } from '../../../src/seal/jws.ts'
import { keyCommitment } from '../../../src/seal/key-commitment.ts'
import { equal, fromBase64Url, toBase64Url } from '../../../src/verify/bytes/bytes.ts'
import {
  BROKER_TYP,
  ENTRUSTMENT_TYP,
  type EntrustedKey,
  encodeBroker,
  encodeEntrustment,
  parseEntrustment,
} from '../../../src/verify/documents/entrustment.ts'
import { brokeredBy, encodeGrant, GRANT_TYP } from '../../../src/verify/documents/grant.ts'
import { encodeHeader } from '../../../src/verify/documents/header.ts'
import { DEFAULT_HPKE_SUITE, hpkeKeyDigest, thumbprint } from '../../../src/verify/documents/keys.ts'
import { digestOf, owner, ownerThumbprint, policyBytes, sampleGrant, sampleHeader, useKey } from '../../support/job-documents.ts'
import { testBytes, testKey } from '../../support/keys.ts'
import type { Vector } from './generate.ts'

/** HPKE draws its own randomness: the sealed keys are recorded, and kept while they still open. */
const RECORDED = new URL('041-entrustment/payload.golden.json', import.meta.url)

function recordedKeys(): readonly EntrustedKey[] {
  if (!existsSync(RECORDED)) return []
  const { grant, datasets } = parseEntrustment(new Uint8Array(readFileSync(RECORDED)))
  return [grant.useKey, ...datasets.map((d) => d.key)]
}

async function sealedKey(kem: KemKey, context: EntrustContext, key: Uint8Array): Promise<EntrustedKey> {
  for (const recorded of recordedKeys()) {
    const opened = await unwrapEntrusted(kem, context, recorded).catch(() => null)
    if (opened !== null && equal(opened.expose(), key)) return recorded
  }
  return wrapEntrusted(kem.publicKey, context, new Secret(key.slice()))
}

/** A broker's description, and what an owner entrusts to it. */
export async function brokerVectors(): Promise<readonly Vector[]> {
  const intent = testKey('broker')
  const broker = await thumbprint(publicOf(intent.jwk))
  const kem = await generateKemKey(DEFAULT_HPKE_SUITE, (size) => testBytes('broker kem', size))
  const description = encodeBroker({ v: 1, kem: kem.publicKey })

  const dek = testBytes('entrusted data key', 32)
  const { salt } = sampleHeader()
  const header = encodeHeader(
    sampleHeader({ keyCommitment: toBase64Url(await keyCommitment(new Secret(dek.slice()), fromBase64Url(salt))) }),
  )
  const grant = encodeGrant(await sampleGrant(header, policyBytes, { release: brokeredBy(broker) }))
  const context = { broker, owner: ownerThumbprint, grant: await digestOf(grant) }
  const dataset = await digestOf(header)
  const entrustment = encodeEntrustment({
    v: 1,
    broker,
    kem: await hpkeKeyDigest(kem.publicKey),
    entrustedAt: '2026-05-28T20:26:40Z',
    grant: {
      jws: toBase64Url(await issueFlattenedJws(grant, GRANT_TYP, owner.jwk)),
      useKey: await sealedKey(kem, { ...context, dataset: null }, useKey),
    },
    datasets: [{ header: toBase64Url(header), key: await sealedKey(kem, { ...context, dataset }, dek) }],
  })
  return [
    {
      id: '040-broker',
      page: 'entrustment.md',
      expect: { typ: BROKER_TYP, digest: await digestOf(description), signer: broker, kem: await hpkeKeyDigest(kem.publicKey) },
      files: { 'payload.golden.json': description, 'jws.golden.json': await issueFlattenedJws(description, BROKER_TYP, intent.jwk) },
    },
    {
      id: '041-entrustment',
      page: 'entrustment.md',
      expect: {
        typ: ENTRUSTMENT_TYP,
        digest: await digestOf(entrustment),
        signer: ownerThumbprint,
        grant: context.grant,
        dataset,
        kemPrivateKey: toBase64Url(kem.privateKey.expose()),
        useKey: toBase64Url(useKey),
        dek: toBase64Url(dek),
      },
      files: { 'payload.golden.json': entrustment, 'jws.golden.json': await issueFlattenedJws(entrustment, ENTRUSTMENT_TYP, owner.jwk) },
    },
  ]
}
