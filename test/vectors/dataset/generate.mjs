// Writes golden.json: sealed files and wrapped keys under fixed throwaway keys. Needs `npm run build`.
// Datasets come out the same every time; wrapped keys do not, because HPKE draws its own ephemeral key.
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import {
  createDatasetHeader,
  createResultHeader,
  encodeFileHead,
  encodeKemKey,
  generateKemKey,
  packArchive,
  rootOf,
  Secret,
  sealStream,
  wrapForKeyring,
  wrapRelease,
} from '../../../dist/seal/index.js'
import { HPKE_SUITES, hpkeKeyDigest } from '../../../dist/verify/documents/keys.js'

const b64 = (bytes) => Buffer.from(bytes).toString('base64url')
const hex = (bytes) => Buffer.from(bytes).toString('hex')
const sha256 = (bytes) => createHash('sha256').update(bytes).digest()
/** Digest of a word, where any 32 bytes will do. */
const named = (word) => b64(sha256(word))
/** Randomness: the bytes 00 01 02 … in a row over all draws, from `start`. */
const counting = (start = 0) => {
  let next = start
  return (size) => Uint8Array.from({ length: size }, () => next++ & 0xff)
}
const collect = async (chunks) => {
  const parts = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts)
}

/** RFC 7638 thumbprint of the Ed25519 key of RFC 8037 appendix A. */
const owner = 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k'
const legal = {
  purposes: ['https://w3id.org/dpv#ResearchAndDevelopment'],
  legalBasis: 'https://w3id.org/dpv/legal/eu/gdpr#A9-2-j',
  categories: ['https://w3id.org/dpv/pd#HealthRecord'],
  jurisdictions: ['DE'],
  retention: 'P5Y',
  agreement: null,
}

const datasets = []
for (const [id, plaintextSize] of [
  ['empty', 0],
  ['small', 11],
  ['one-segment', 1048520],
  ['border-plus-one', 1048521],
  ['three-segments', 2500000],
]) {
  const random = counting()
  const { bytes, digest, dek } = await createDatasetHeader({ content: 'file', plaintextSize, owner, legal, random })
  const plaintext = Uint8Array.from({ length: plaintextSize }, (_, i) => i % 251)
  const stream = await collect(sealStream([plaintext], { header: bytes, dek, random }))
  const { root } = await rootOf([stream])
  const file = Buffer.concat([encodeFileHead(bytes), stream])
  const whole = file.length < 4096 ? { file: hex(file) } : {}
  datasets.push({
    id,
    plaintextSize,
    dek: hex(dek.expose()),
    header: Buffer.from(bytes).toString(),
    blobId: digest,
    root: b64(root),
    fileSize: file.length,
    fileSha256: hex(sha256(file)),
    ...whole,
  })
}

/** The archive of the documentation, and the dataset that holds it. */
const files = [
  ['docs', null],
  ['docs/hello.txt', 'hello\n'],
  ['docs/run.sh', '#!/bin/sh\n'],
  ['docs-old', null],
  ['empty', ''],
]
const entries = files.map(([path, text]) =>
  text === null
    ? { type: 'folder', path }
    : { type: 'file', path, executable: path.endsWith('.sh'), size: Buffer.byteLength(text), sha256: new Uint8Array(sha256(text)) },
)
const contentOf = ({ path }) => [Buffer.from(files.find(([p]) => p === path)[1])]
const packed = await collect(packArchive(entries, { open: contentOf, createHash: () => createHash('sha256') }))
const archiveRandom = counting()
const archived = await createDatasetHeader({ content: 'archive', plaintextSize: packed.length, owner, legal, random: archiveRandom })
const archiveFile = Buffer.concat([
  encodeFileHead(archived.bytes),
  await collect(sealStream([packed], { header: archived.bytes, dek: archived.dek, random: archiveRandom })),
])
const archive = {
  files: files.map(([path, text]) => ({ path, text })),
  archive: hex(packed),
  blobId: archived.digest,
  fileSha256: hex(sha256(archiveFile)),
  file: hex(archiveFile),
}

const keys = await Promise.all(HPKE_SUITES.map((suite) => generateKemKey(suite, counting(0x80))))
const keyFiles = keys.map((key) => Buffer.from(encodeKemKey(key)).toString())
const wire = ({ suite, enc, ciphertext }) => ({ suite, enc: b64(enc), ciphertext: b64(ciphertext) })

const result = await createResultHeader({
  plaintextSize: 3,
  job: named('job'),
  recipients: keys.map((k) => k.publicKey),
  random: counting(),
})
const resultFile = Buffer.concat([
  encodeFileHead(result.bytes),
  await collect(sealStream([Buffer.from('abc')], { header: result.bytes, dek: result.dek, random: counting(0x40) })),
])

const releases = []
for (const [i, key] of keys.entries()) {
  const intent = {
    v: 1,
    job: named('job'),
    binding: named('binding'),
    evidence: named('evidence'),
    datasets: [named('dataset')],
    grants: [named('grant')],
    policies: [named('policy')],
    slots: [{ grant: named('grant'), k: 0, tag: named('tag') }],
    kem: await hpkeKeyDigest(key.publicKey),
    mode: 'direct',
    deadline: '2026-01-31T12:00:00Z',
  }
  const context = { intent, leafHash: named('leaf'), dataset: named('dataset') }
  const wrapped = await wrapRelease(key.publicKey, context, {
    dek: new Secret(counting()(32)),
    useKeys: new Map([[named('grant'), new Secret(counting(0x20)(32))]]),
  })
  releases.push({
    key: keyFiles[i],
    context,
    wrapped: wire(wrapped),
    dek: hex(counting()(32)),
    useKeys: { [named('grant')]: hex(counting(0x20)(32)) },
  })
}

const small = datasets.find((d) => d.id === 'small')
const kept = await wrapForKeyring(keys[0].publicKey, Buffer.from(small.header), new Secret(new Uint8Array(Buffer.from(small.dek, 'hex'))))

const golden = {
  kind: 'synthetic: throwaway keys; byte i of every dataset plaintext is i mod 251; see docs/formats/dataset.md',
  datasets,
  archive,
  result: { file: hex(resultFile), keys: keyFiles, dek: hex(result.dek.expose()), plaintext: 'abc' },
  releases,
  keyring: { key: keyFiles[0], header: small.header, wrapped: wire(kept), dek: small.dek },
}
writeFileSync(new URL('golden.json', import.meta.url), `${JSON.stringify(golden, null, 2)}\n`)
