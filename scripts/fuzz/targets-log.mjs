import { assertRoundTrip, believing, Violation } from './invariants.mjs'
import { consistencyPath, inclusionPath, leafOf, treeHash } from './merkle.mjs'
import { datasets, expectOf, golden } from './seeds.mjs'

const TREE_SIZE = 7
const leaves = Array.from({ length: TREE_SIZE }, (_, i) => leafOf(Uint8Array.of(i)))
const root = treeHash(leaves)

function u32be(value) {
  const out = Buffer.alloc(4)
  out.writeUInt32BE(value)
  return out
}

/** A number, then hashes; a last piece that is no hash stays as it is. */
function readClaim(input) {
  const rest = input.subarray(4)
  const hashes = Array.from({ length: Math.ceil(rest.length / 32) }, (_, i) => rest.subarray(32 * i, 32 * i + 32))
  return { number: input.length < 4 ? input.length : Buffer.from(input).readUInt32BE(), hashes }
}

const claim = (number, hashes) => Uint8Array.from(Buffer.concat([u32be(number), ...hashes]))
const same = (a, b) => a.length === b.length && a.every((bytes, i) => Buffer.compare(bytes, b[i]) === 0)

const notes = () => [golden('022-checkpoint', 'note.txt'), golden('023-witnessed-checkpoint', 'note.txt')]

export const logTargets = [
  {
    name: 'inclusion-proof',
    async open({ load }) {
      const { verifyInclusion } = await load('verify/tlog/index.js')
      const run = async (input) => {
        const { number: index, hashes } = readClaim(input)
        const [leafHash = new Uint8Array(0), ...proof] = hashes
        await verifyInclusion({ leafHash, index, size: TREE_SIZE, root, proof })
        const isTrue = index < TREE_SIZE && same([leafHash, ...proof], [leaves[index], ...inclusionPath(index, leaves)])
        if (!isTrue) throw new Violation('forged', `proves leaf ${index} that is not there`)
      }
      return { seeds: leaves.map((leaf, i) => claim(i, [leaf, ...inclusionPath(i, leaves)])), run }
    },
  },
  {
    name: 'consistency-proof',
    async open({ load }) {
      const { verifyConsistency } = await load('verify/tlog/index.js')
      const run = async (input) => {
        const { number: oldSize, hashes } = readClaim(input)
        const [oldRoot = new Uint8Array(0), ...proof] = hashes
        await verifyConsistency({ oldSize, oldRoot, newSize: TREE_SIZE, newRoot: root, proof })
        const old = leaves.slice(0, oldSize)
        const isTrue = old.length === oldSize && same([oldRoot, ...proof], [treeHash(old), ...consistencyPath(oldSize, leaves)])
        if (!isTrue) throw new Violation('forged', `proves a tree of ${oldSize} that never was`)
      }
      const sizes = Array.from({ length: TREE_SIZE + 1 }, (_, i) => i)
      return { seeds: sizes.map((m) => claim(m, [treeHash(leaves.slice(0, m)), ...consistencyPath(m, leaves)])), run }
    },
  },
  {
    name: 'note',
    async open({ load }) {
      const { encodeNote, parseNote } = await load('verify/tlog/index.js')
      const { fromUtf8 } = await load('verify/bytes/bytes.js')
      const run = (input) => assertRoundTrip(input, Buffer.from(encodeNote(parseNote(fromUtf8(input)))))
      return { seeds: notes(), run }
    },
  },
  {
    name: 'verifier-key',
    async open({ load }) {
      const { COSIGNATURE_ED25519, encodeVerifierKey, NOTE_ED25519, parseVerifierKey } = await load('verify/tlog/index.js')
      const { fromUtf8 } = await load('verify/bytes/bytes.js')
      const run = async (input) => {
        const text = fromUtf8(input)
        const type = text.length % 2 === 0 ? NOTE_ED25519 : COSIGNATURE_ED25519
        assertRoundTrip(input, Buffer.from(await encodeVerifierKey(await parseVerifierKey(text, type))))
      }
      const key = (name, type) => encodeVerifierKey({ name, type, publicKey: new Uint8Array(32).fill(5) })
      const texts = ['log.example', 'log.example2'].flatMap((name) => [key(name, NOTE_ED25519), key(name, COSIGNATURE_ED25519)])
      return { seeds: (await Promise.all(texts)).map((text) => Uint8Array.from(Buffer.from(text))), run }
    },
  },
  {
    name: 'checkpoint',
    async open({ load }) {
      const { encodeCheckpoint, parseCheckpoint, verifyCheckpoint } = await load('verify/tlog/index.js')
      const { fromUtf8 } = await load('verify/bytes/bytes.js')
      const { key, origin, size, root: hash, time } = expectOf('022-checkpoint')
      const { k, witnesses: keys } = expectOf('023-witnessed-checkpoint')
      const logs = [{ mode: 'none' }, { mode: 'quorum', k, keys }].map((witnessing) => ({ origin, key, witnessing }))
      const run = async (input) => {
        const text = fromUtf8(input)
        const checkpoint = parseCheckpoint(text)
        assertRoundTrip(Buffer.from(checkpoint.note.text), Buffer.from(encodeCheckpoint(checkpoint)))
        const log = logs[text.includes('w1.example') ? 1 : 0]
        await believing(() => verifyCheckpoint(text, log))
        const seen = await verifyCheckpoint(text, log)
        const isGenuine = seen.size === size && seen.time === time && Buffer.from(seen.root).toString('base64url') === hash
        if (!isGenuine) throw new Violation('forged', 'another checkpoint under these signatures')
      }
      return { seeds: notes(), run }
    },
  },
  {
    name: 'tile-path',
    async open({ load }) {
      const { encodeTilePath, parseTilePath } = await load('verify/tlog/index.js')
      const { fromUtf8 } = await load('verify/bytes/bytes.js')
      const run = (input) => assertRoundTrip(input, Buffer.from(encodeTilePath(parseTilePath(fromUtf8(input)))))
      const paths = ['tile/0/000', 'tile/1/x001/x234/067.p/8', 'tile/entries/273.p/112', 'tile/63/x035/x184/x372/x088/830']
      return { seeds: paths.map((path) => Uint8Array.from(Buffer.from(path))), run }
    },
  },
  {
    name: 'entry-bundle',
    async open({ load }) {
      const { encodeEntryBundle, parseEntryBundle } = await load('verify/tlog/index.js')
      // The first byte says how many entries are wanted.
      const run = (input) => {
        const [count = 0, bytes] = [input[0], input.subarray(1)]
        assertRoundTrip(bytes, Buffer.from(encodeEntryBundle(parseEntryBundle(bytes, count))))
      }
      const bundle = (...entries) => Uint8Array.of(entries.length, ...encodeEntryBundle(entries))
      return { seeds: [bundle(...leaves), bundle(new Uint8Array(0)), bundle(new Uint8Array(300), root)], run }
    },
  },
  {
    name: 'add-checkpoint',
    async open({ load }) {
      const { encodeAddCheckpoint, parseAddCheckpoint } = await load('verify/tlog/index.js')
      const run = (input) => assertRoundTrip(input, Buffer.from(encodeAddCheckpoint(parseAddCheckpoint(input))))
      const asked = (oldSize, proof) =>
        notes().map((note) => encodeAddCheckpoint({ oldSize, proof, note: Buffer.from(note).toString('utf8') }))
      return { seeds: [...asked(0, []), ...asked(3, [root, leaves[0]])], run }
    },
  },
  {
    name: 'sealed-file',
    async open({ load }) {
      const { openStream, readSealedFile, Secret } = await load('seal/index.js')
      const files = datasets()
      const deks = new Map(files.map(({ header, dek }) => [header, dek]))
      const genuine = new Set(files.map(({ file }) => file.toString('latin1')))
      const run = async (input) => {
        const size = 1 + (input.length % 97)
        const chunks = Array.from({ length: Math.ceil(input.length / size) }, (_, i) => input.subarray(i * size, (i + 1) * size))
        const { headerBytes, stream } = await readSealedFile(chunks)
        const dek = deks.get(Buffer.from(headerBytes).toString('utf8')) ?? files[0].dek
        for await (const part of openStream(stream, { header: headerBytes, dek: new Secret(Uint8Array.from(dek)) })) part.length
        if (!genuine.has(Buffer.from(input).toString('latin1'))) throw new Violation('forged', 'another file opens')
      }
      return { seeds: files.map(({ file }) => Uint8Array.from(file)), run }
    },
  },
]
