import { randomBytes } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { FileKeks } from '../../../src/broker/key-store/file-keks.ts'
import { BrokerStore } from '../../../src/broker/store/broker-store.ts'
import { type DiskCalls, systemDisk } from '../../../src/broker/store/row-folder.ts'
import { type BrokerFile, type EntrustableGrant, generateSigningKey, type Owner } from '../../../src/client/index.ts'
import { random } from '../../../src/client/owner.ts'
import { createDatasetHeader, generateKemKey, issueFlattenedJws, Secret, type SigningPrivateKey } from '../../../src/seal/index.ts'
import { toBase64Url } from '../../../src/verify/bytes/bytes.ts'
import { brokeredBy, encodeGrant, GRANT_TYP, type Grant } from '../../../src/verify/documents/grant.ts'
import { DEFAULT_HPKE_SUITE, thumbprint } from '../../../src/verify/documents/keys.ts'
import { useKeyCommitment } from '../../../src/verify/documents/use-slot.ts'
import { digestOf, policyBytes, sampleGrant } from '../../support/job-documents.ts'
import { LEGAL } from '../client/support.ts'

/** A disk whose n-th call fails, as a crash or the disk itself would make it: nothing after it happens. */
export class FaultyDisk implements DiskCalls {
  calls = 0
  #failAt = 0
  #when: 'before' | 'after' = 'before'

  arm(call: number, when: 'before' | 'after'): void {
    this.calls = 0
    this.#failAt = call
    this.#when = when
  }

  disarm(): void {
    this.#failAt = 0
  }

  write = (path: string, bytes: Uint8Array): Promise<void> => this.#run(() => systemDisk.write(path, bytes))
  rename = (from: string, to: string): Promise<void> => this.#run(() => systemDisk.rename(from, to))
  remove = (path: string): Promise<void> => this.#run(() => systemDisk.remove(path))
  syncFolder = (folder: string): Promise<void> => this.#run(() => systemDisk.syncFolder(folder))

  async #run(work: () => Promise<void>): Promise<void> {
    this.calls++
    const fails = this.#failAt > 0 && this.calls >= this.#failAt
    if (!fails || (this.calls === this.#failAt && this.#when === 'after')) await work()
    if (fails) throw Object.assign(new Error(`the disk failed ${this.#when} call ${this.calls}`), { code: 'EIO' })
  }
}

export interface TestBroker {
  readonly folder: string
  readonly intentKey: SigningPrivateKey
  readonly file: BrokerFile
  readonly store: BrokerStore
  readonly disk: FaultyDisk
  /** Another process's view of the same folder. */
  reopen(folder?: string): BrokerStore
}

/** A broker with its key-encryption keys under a key file, which is quick. */
export async function freshBroker(root: string): Promise<TestBroker> {
  const folder = mkdtempSync(join(root, 'broker-'))
  const key = randomBytes(32)
  const disk = new FaultyDisk()
  const reopen = (path = folder): BrokerStore => new BrokerStore(join(path, 'store'), new FileKeks(join(folder, 'keks'), { key }), disk)
  const store = reopen()
  const intentKey = generateSigningKey()
  const kem = await generateKemKey(DEFAULT_HPKE_SUITE, random)
  await store.begin(intentKey, kem)
  return { folder, intentKey, file: { thumbprint: await thumbprint(intentKey), kem: kem.publicKey }, store, disk, reopen }
}

/** A dataset in an owner's keyring. */
export async function keepDataset(
  owner: Owner,
): Promise<{ readonly digest: string; readonly header: Uint8Array; readonly dek: Uint8Array }> {
  const made = await createDatasetHeader({ content: 'file', plaintextSize: 10, owner: owner.grantThumbprint, legal: LEGAL, random })
  await owner.keyring.putDataset(
    { digest: made.digest, name: 'a.csv', header: made.bytes, root: toBase64Url(new Uint8Array(32)) },
    made.dek,
  )
  return { digest: made.digest, header: made.bytes, dek: made.dek.expose() }
}

/** A grant of an owner, its use key in the keyring. */
export async function keepGrant(
  owner: Owner,
  broker: string | null,
  datasets: readonly string[],
  changes: Partial<Grant> = {},
): Promise<EntrustableGrant> {
  const useKey = new Secret(random(32))
  const grant: Grant = {
    ...(await sampleGrant(new Uint8Array(0), policyBytes)),
    grantId: toBase64Url(random(16)),
    datasets: [...datasets].sort(),
    useKeyCommitment: await useKeyCommitment(useKey.expose()),
    uses: 5,
    release: broker === null ? 'direct' : brokeredBy(broker),
    ...changes,
  }
  const bytes = encodeGrant(grant)
  const grantId = await digestOf(bytes)
  await owner.keyring.putGrant(grantId, useKey, grant.uses)
  return { grantId, grant, jws: await issueFlattenedJws(bytes, GRANT_TYP, owner.grantKey), revoked: false }
}
