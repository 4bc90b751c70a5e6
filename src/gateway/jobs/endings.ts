import { randomBytes } from 'node:crypto'
import { countersignGeneralJws, issueGeneralJws } from '../../seal/jws.ts'
import { commitmentOf } from '../../verify/documents/leaf.ts'
import { RECEIPT_TYP, type ReceiptType, type StatedRelease } from '../../verify/documents/statement.ts'
import type { ErrorCode } from '../../verify/errors.ts'
import { attestationResult } from '../appraiser.ts'
import type { Clock } from '../clock.ts'
import type { ReceiptKeys } from '../config/ml-dsa.ts'
import type { TransparencyLog } from '../log/index.ts'
import type { WitnessedLog } from '../witnessing/witnessed-log.ts'
import { evidenceOf } from './evidence.ts'
import { type JobFacts, takeStep } from './records.ts'
import { encodeGatewayStatement, type GatewayEnding, plainText } from './statements.ts'
import type { JobState } from './states.ts'

/** How a job ends, once there is a signed statement of it. */
export interface SignedEnding {
  readonly to: JobState
  readonly type: ReceiptType
  readonly reason: string
  readonly code: ErrorCode | null
  /** General JWS, complete. */
  readonly jws: Uint8Array
  readonly resultBlobId: string | null
}

const STATE_OF = { refused: 'refused', cancelled: 'cancelled', lost: 'lost' } as const

/** Signs, countersigns and logs the ends of jobs. */
export class Endings {
  readonly #log: TransparencyLog
  readonly #witnessed: WitnessedLog
  readonly #keys: ReceiptKeys
  readonly #clock: Clock
  /** Name and version of this gateway, as its statements say it. */
  readonly gateway: string

  constructor(log: TransparencyLog, witnessed: WitnessedLog, keys: ReceiptKeys, clock: Clock, gateway: string) {
    this.#log = log
    this.#witnessed = witnessed
    this.#keys = keys
    this.#clock = clock
    this.gateway = gateway
  }

  /**
   * Where the releases of a job stand in the log, as statements say it. Their times are those of the policies' witnesses, so
   * they cannot be told before these have cosigned.
   * @throws AttestError `WITNESS_QUORUM`.
   */
  async releasesOf({ row, policies, releases }: JobFacts): Promise<readonly StatedRelease[]> {
    const documents = policies.map((p) => p.document)
    const after = row.checkpoint === null ? [] : [row.checkpoint]
    return Promise.all(releases.map(({ index }) => this.#witnessed.placeOf(index, documents, after)))
  }

  /** Ends a job on the gateway's word alone. */
  async endAlone(facts: JobFacts, ending: GatewayEnding): Promise<void> {
    const evidence = await evidenceOf(facts.row)
    const ear = evidence === null ? null : attestationResult(evidence.appraisal, this.gateway)
    const statement = encodeGatewayStatement(facts, evidence, ear, await this.releasesOf(facts), ending, this.gateway)
    const jws = await issueGeneralJws(statement, RECEIPT_TYP, [this.#keys.signing], this.#keys.mlDsa)
    const type = ending.kind === 'lost' ? 'lost' : 'refusal'
    await this.#record(facts, { to: STATE_OF[ending.kind], type, reason: ending.reason, code: ending.code, jws, resultBlobId: null })
  }

  /** Ends a job on the word of its agent, whose statement was verified: the gateway countersigns it. */
  async endSigned(facts: JobFacts, ending: SignedEnding): Promise<void> {
    const { signing, mlDsa } = this.#keys
    await this.#record(facts, { ...ending, jws: await countersignGeneralJws(ending.jws, RECEIPT_TYP, signing, mlDsa) })
  }

  async #record(facts: JobFacts, { to, type, reason, code, jws, resultBlobId }: SignedEnding): Promise<void> {
    const { row, state, policies, releases } = facts
    const salt = new Uint8Array(randomBytes(32))
    const ends = (await Promise.all(releases.map(({ index }) => this.#log.entryAt(index)))).map((entry) => entry.leafHash).sort()
    const leaf = { v: 1, type, commitment: await commitmentOf(salt, jws), tags: [], ends, deadline: null } as const
    const isDemanded = policies.some((p) => p.document.witnessing.mode === 'quorum')
    // Durable when it returns: the ending in the log, the receipt, the final state, and that witnesses are owed, together. A crash before leaves the job
    // where it was: its host sends the outcome again, or its deadline ends it.
    await this.#log.append({
      leaf,
      salt,
      opening: jws,
      also: async (tx, { index }) => {
        await takeStep(tx, row.job_id, state, { to, reason: plainText(reason), code: code ?? undefined, at: this.#clock.now() })
        if (isDemanded) await tx.insertInto('witness_pending').values({ idx: index, job_id: row.job_id }).execute()
        await tx.insertInto('receipts').values({ job_id: row.job_id, type, jws, log_index: index, result_blob_id: resultBlobId }).execute()
      },
    })
  }
}
