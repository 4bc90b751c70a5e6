import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FlattenedEncrypt } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { backUp, restoreBackup } from '../../../src/client/backup.ts'
import { createOwnerKeys, loadOwner, random } from '../../../src/client/owner.ts'
import { Secret } from '../../../src/seal/index.ts'
import { utf8 } from '../../../src/verify/bytes/bytes.ts'

const PASSPHRASE = 'correct horse battery'
const CANARY = 'canary-7f3a'

let root: string
let owner: string
let bytes: Uint8Array
let paths: readonly string[]

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'sealgate-backup-'))
  owner = join(root, 'owner')
  mkdirSync(join(owner, 'keyring'), { recursive: true })
  await createOwnerKeys(owner)
  const { keyring } = await loadOwner(owner)
  await keyring.putGrant('A'.repeat(43), new Secret(random(32)), 3)
  writeFileSync(join(owner, 'trust.json'), `{"note":"${CANARY}"}`)
  chmodSync(join(owner, 'trust.json'), 0o644)
  for (const name of ['log-memory.json', 'log.head', 'state.json']) writeFileSync(join(owner, name), '{}')
  writeFileSync(join(owner, '.half.part'), 'x')
  mkdirSync(join(owner, 'data'))
  writeFileSync(join(owner, 'data', 'gateway.db'), 'x')
  symlinkSync('/etc/hostname', join(owner, 'link'))
  const made = await backUp(owner, PASSPHRASE)
  bytes = made.bytes
  paths = made.paths
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

let target: string
beforeEach(() => {
  target = join(root, `restored-${random(4).join('')}`)
})

/** A backup of any content under the right passphrase. */
async function craft(content: unknown, header: object = {}): Promise<Uint8Array> {
  const jwe = new FlattenedEncrypt(utf8(typeof content === 'string' ? content : JSON.stringify(content)))
    .setProtectedHeader({ alg: 'PBES2-HS512+A256KW', enc: 'A256GCM', typ: 'sealgate-backup+json', ...header })
    .setKeyManagementParameters({ p2c: 1000 })
  return utf8(JSON.stringify(await jwe.encrypt(utf8(PASSPHRASE))))
}

const file = (path: string, content = 'eA==') => ({ content, path, private: true })
const document = (...files: readonly object[]) => ({ files, type: 'sealgate/backup/v1', v: 1 })

describe('a backup', () => {
  it('holds keys, keyring and documents; no counters, databases, links or half-written files', () => {
    const kept = paths.map((path) => path.replace(/A{43}/, 'GRANT'))
    expect(kept).toEqual([
      'grant.key.json',
      expect.stringMatching(/^keyring\/.*GRANT.*\.json$/),
      'recipient.key.json',
      'submit.key.json',
      'trust.json',
    ])
  })

  it('shows nothing of its content', () => {
    const text = new TextDecoder().decode(bytes)
    for (const word of [CANARY, 'grant.key', 'Ed25519', JSON.parse(readFileSync(join(owner, 'grant.key.json'), 'utf8')).d])
      expect(text).not.toContain(word)
  })

  it('gives back every file as it was, readable by whom it was', async () => {
    expect(await restoreBackup(bytes, PASSPHRASE, target)).toEqual(paths)
    for (const path of paths) {
      expect(readFileSync(join(target, path))).toEqual(readFileSync(join(owner, path)))
      expect(statSync(join(target, path)).mode & 0o777).toBe(path === 'trust.json' ? 0o644 : 0o600)
    }
    expect((await loadOwner(target)).grantThumbprint).toBe((await loadOwner(owner)).grantThumbprint)
  })

  it('overwrites nothing, and writes nothing then', async () => {
    mkdirSync(target)
    writeFileSync(join(target, 'trust.json'), 'mine')
    await expect(restoreBackup(bytes, PASSPHRASE, target)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
    expect(readdirSync(target)).toEqual(['trust.json'])
  })

  it('does not open with another passphrase', async () => {
    await expect(restoreBackup(bytes, `${PASSPHRASE}!`, target)).rejects.toMatchObject({ code: 'UNWRAP_FAILED' })
    expect(existsSync(target)).toBe(false)
  })

  it('is not made with a short passphrase, nor of a folder without keys', async () => {
    await expect(backUp(owner, 'short')).rejects.toMatchObject({ code: 'USAGE' })
    mkdirSync(join(root, 'empty'), { recursive: true })
    await expect(backUp(join(root, 'empty'), PASSPHRASE)).rejects.toMatchObject({ code: 'USAGE' })
    await expect(backUp(join(root, 'nowhere'), PASSPHRASE)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
  })
})

describe('a backup that somebody else had in hand', () => {
  it.each(['ciphertext', 'encrypted_key', 'iv', 'protected', 'tag'])('is refused with another %s', async (member) => {
    const jwe = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, string>
    const value = jwe[member] ?? ''
    const changed = { ...jwe, [member]: `${value[0] === 'A' ? 'B' : 'A'}${value.slice(1)}` }
    await expect(restoreBackup(utf8(JSON.stringify(changed)), PASSPHRASE, target)).rejects.toMatchObject({ code: 'UNWRAP_FAILED' })
    expect(existsSync(target)).toBe(false)
  })

  it.each<[string, readonly object[]]>([
    ['climbs out of the folder', [file('../authorized_keys')]],
    ['climbs out of the keyring', [file('keyring/../../x')]],
    ['is absolute', [file('/etc/passwd')]],
    ['goes deeper', [file('keyring/a/b')]],
    ['goes into another folder', [file('data/gateway.db')]],
    ['is hidden', [file('.ssh')]],
    ['stands twice', [file('a'), file('a')]],
    ['is out of order', [file('b'), file('a')]],
    ['is no base64', [file('a', '*')]],
    ['brings a member of its own', [{ ...file('a'), setuid: true }]],
  ])('is refused when a path or file %s', async (_, files) => {
    await expect(restoreBackup(await craft(document(...files)), PASSPHRASE, target)).rejects.toMatchObject({ code: 'DOCUMENT_INVALID' })
    expect(existsSync(target)).toBe(false)
  })

  it.each<[string, () => Promise<Uint8Array> | Uint8Array, string]>([
    ['it is of another kind', () => craft(document(file('a')), { typ: 'JOSE' }), 'UNWRAP_FAILED'],
    ['it is spelt differently', () => craft(`${JSON.stringify(document(file('a')))} `), 'JSON_NOT_CANONICAL'],
    ['it is no JSON', () => utf8('{'), 'DOCUMENT_INVALID'],
    ['it is a JWE of another form', () => utf8('{"recipients":[]}'), 'DOCUMENT_INVALID'],
    ['it is empty', () => craft(document()), 'DOCUMENT_INVALID'],
  ])('is refused when %s', async (_, make, code) => {
    await expect(restoreBackup(await make(), PASSPHRASE, target)).rejects.toMatchObject({ code })
  })

  it('does not make the reader count for hours', async () => {
    const [protectedHeader] = [{ alg: 'PBES2-HS512+A256KW', enc: 'A256GCM', p2c: 2_000_000_000, p2s: 'AAAAAAAAAAAAAAAAAAAAAA', typ: 'x' }]
    const jwe = {
      ciphertext: 'AA',
      encrypted_key: 'AA',
      iv: 'AA',
      protected: Buffer.from(JSON.stringify(protectedHeader)).toString('base64url'),
      tag: 'AA',
    }
    await expect(restoreBackup(utf8(JSON.stringify(jwe)), PASSPHRASE, target)).rejects.toMatchObject({ code: 'UNWRAP_FAILED' })
  })

  it('is refused with another algorithm, however weak', async () => {
    const weak = await new FlattenedEncrypt(utf8(JSON.stringify(document(file('a')))))
      .setProtectedHeader({ alg: 'PBES2-HS256+A128KW', enc: 'A128GCM', typ: 'sealgate-backup+json' })
      .encrypt(utf8(PASSPHRASE))
    await expect(restoreBackup(utf8(JSON.stringify(weak)), PASSPHRASE, target)).rejects.toMatchObject({ code: 'UNWRAP_FAILED' })
  })
})
