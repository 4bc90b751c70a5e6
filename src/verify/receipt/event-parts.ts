import type { Destroyed, EventType } from '../documents/event-statement.ts'
import type { LegalContext } from '../documents/header.ts'
import type { Policy } from '../documents/policy.ts'
import type { TrustFile } from '../documents/trust.ts'
import type { Check } from '../verdict.ts'
import type { Named } from './documents.ts'

/** A dataset, erased by order of its owner. */
export interface ErasureFacts {
  readonly type: 'erasure'
  readonly dataset: string
  readonly owner: string
  /** By the owner's clock. */
  readonly orderedAt: string
  readonly stopJobs: boolean
  readonly reason: string | null
  readonly plaintextSize: number
  readonly legal: LegalContext
  readonly destroyed: Destroyed
}

/** A host that proved itself to the gateway. */
export interface OnboardingFacts {
  readonly type: 'onboard'
  /** As the gateway calls it. */
  readonly host: string
  readonly tee: string
  /** Hexadecimal. */
  readonly measurement: string | null
  readonly bindingGrade: string
  /** True: no hardware protected anything. */
  readonly simulated: boolean
  readonly expires: string
}

/** A grant, taken back by its owner. */
export interface RevocationFacts {
  readonly type: 'revocation'
  readonly grant: string
  readonly owner: string
  /** By the owner's clock. */
  readonly revokedAt: string
  readonly stopJobs: boolean
  readonly datasets: readonly string[]
}

/** A grant, held by its owner, or a hold that its owner ended. */
export interface HoldFacts {
  readonly type: 'hold'
  readonly grant: string
  readonly owner: string
  readonly sequence: number
  readonly held: boolean
  readonly stopJobs: boolean
  readonly basis: string | null
  /** By the owner's clock. */
  readonly at: string
  readonly datasets: readonly string[]
}

export type EventFacts = ErasureFacts | HoldFacts | OnboardingFacts | RevocationFacts

/** The documents of an event, read: every signature verified under the key that it names itself. */
export interface EventParts {
  readonly type: EventType
  /** Whose log and witnesses the entry is proven under; null: the log's alone, which the trust file names. */
  readonly policy: Named<Policy> | null
  /** Thumbprints of the owners on whose word it rests. */
  readonly owners: readonly string[]
  /** Whether the statement speaks of exactly the documents beside it. */
  readonly checks: readonly Check[]
  /** What is to be asked at the time of the log. Null: nobody vouches for one. */
  readonly checksAt: (time: number | null, trust: TrustFile | null) => Promise<readonly Check[]>
  readonly facts: EventFacts
  readonly notChecked: readonly string[]
}
