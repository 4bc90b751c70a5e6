import type { IsolationGrade } from '../verify/documents/isolation.ts'
import { HPKE_SUITES } from '../verify/documents/keys.ts'
import { encodePolicy, type Policy } from '../verify/documents/policy.ts'
import type { Requirements } from '../verify/documents/requirements.ts'

export interface PolicyChoices {
  /** The log whose entries open data; from the gateway's trust file. */
  readonly log: Policy['log']
  readonly measurements: Policy['appraisal']['measurements']
  /** True lets simulated evidence pass: for demonstrations only. */
  readonly allowSimulated: boolean
  readonly allowUnknown: Policy['appraisal']['allowUnknown']
  readonly runners: Policy['runners']
  /** How well workloads must be kept in; default: as well as any of the runners does. */
  readonly isolation?: IsolationGrade
  /** C2SP verifier keys of witnesses, and how many of them must cosign; default: `witnessing: none`, for demonstrations. */
  readonly quorum?: { readonly k: number; readonly keys: readonly string[] }
  /** In place of {@link STRICT_REQUIREMENTS}, per kind of TEE. */
  readonly requirements?: Requirements
}

/**
 * What a policy asks of evidence where its owner did not choose; docs/formats/policy.md says why. Milan is not among the
 * products: the seed of its VCEKs has been extracted in software (arXiv 2605.12990), so its reports no longer prove a TCB.
 */
export const STRICT_REQUIREMENTS: Required<Omit<Requirements, 'nvidia'>> = {
  sevSnp: {
    products: ['Genoa', 'Turin'],
    floors: ['AMD-SB-3019'],
    committedFirmware: true,
    platformInfo: { required: ['aliasCheckComplete'] },
  },
  tdx: { septVeDisable: true, notMigratable: true, noServiceTd: true },
  sgx: { noProvisionKey: true },
}

const DAY_SECONDS = 24 * 3600
/** Vendors sign revocation lists for a year (AMD's nextUpdate); the lists' own dates hold beside this. */
const COLLATERAL_DAYS = 366

/** Canonical bytes of a policy that is strict wherever its owner did not choose. */
export function createPolicy(choices: PolicyChoices): Uint8Array {
  const tees = [...new Set(choices.measurements.map((m) => m.tee))].sort()
  return encodePolicy({
    v: 1,
    appraisal: {
      tees,
      allowSimulated: choices.allowSimulated,
      measurements: choices.measurements,
      allowUnknown: [...new Set(choices.allowUnknown)].sort(),
      ...requirementsFor(tees, choices.requirements),
    },
    log: choices.log,
    witnessing: witnessingOf(choices.quorum),
    maximumAge: { checkpointSeconds: 300, collateralSeconds: COLLATERAL_DAYS * DAY_SECONDS },
    minimumTcbEvaluationDataNumber: null,
    minimumGrades: {
      binding: 'committed',
      placement: 'none',
      ...(choices.isolation === undefined ? {} : { isolation: choices.isolation }),
    },
    runners: [...new Set(choices.runners)].sort(),
    suites: HPKE_SUITES,
    cedar: '',
  })
}

function witnessingOf(quorum: PolicyChoices['quorum']): Policy['witnessing'] {
  return quorum === undefined ? { mode: 'none' } : { mode: 'quorum', k: quorum.k, keys: [...new Set(quorum.keys)].sort() }
}

/** Of the TEEs that the policy lets hold data; the others are refused whatever they show. */
function requirementsFor(tees: readonly string[], chosen: Requirements = {}): Requirements {
  const { sevSnp, tdx, sgx, nvidia }: Requirements = { ...STRICT_REQUIREMENTS, ...chosen }
  return {
    ...(sevSnp !== undefined && tees.includes('sev-snp') ? { sevSnp } : {}),
    ...(tdx !== undefined && tees.includes('tdx') ? { tdx } : {}),
    ...(sgx !== undefined && tees.includes('sgx') ? { sgx } : {}),
    ...(nvidia === undefined ? {} : { nvidia }),
  }
}
