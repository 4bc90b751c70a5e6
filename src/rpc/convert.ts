import { type EvidenceBundle, withCompanions } from '../verify/documents/evidence-bundle.ts'
import { AttestError } from '../verify/errors.ts'
import { encodeCanonical, type Json } from '../verify/formats/canonical-json.ts'
import type { LoggedEntry } from '../verify/tlog/index.ts'
import type { Check } from '../verify/verdict.ts'
import { sealgate } from './gen/messages.js'
import { toNumber } from './numbers.ts'

type Wire<T> = T | null | undefined

const { Outcome } = sealgate.v1
const OUTCOME_TO_WIRE = { pass: Outcome.OUTCOME_PASS, fail: Outcome.OUTCOME_FAIL, unknown: Outcome.OUTCOME_UNKNOWN } as const
const OUTCOME_FROM_WIRE = new Map<unknown, Check['outcome']>([
  [Outcome.OUTCOME_PASS, 'pass'],
  [Outcome.OUTCOME_FAIL, 'fail'],
  [Outcome.OUTCOME_UNKNOWN, 'unknown'],
])

/** Plain bytes, detached from the receive buffer; an absent field is an empty array, which no format here accepts. */
export function bytesOf(value: Wire<Uint8Array>): Uint8Array {
  return value === null || value === undefined ? new Uint8Array() : new Uint8Array(value)
}

export function bundleToWire(bundle: EvidenceBundle): sealgate.v1.IEvidenceBundle {
  return {
    binding: bundle.binding,
    config: bundle.config,
    cpu: { format: bundle.cpu.format, report: bundle.cpu.report, companions: [...(bundle.cpu.companions ?? [])] },
    devices: bundle.devices.map((d) => ({ type: d.type, report: d.report, certificateChain: d.certificateChain })),
    endorsements: [...bundle.endorsements],
  }
}

/** @throws AttestError `DOCUMENT_INVALID` for a missing part or an unknown device type. */
export function bundleFromWire(wire: Wire<sealgate.v1.IEvidenceBundle>): EvidenceBundle {
  if (!wire?.cpu) throw new AttestError('DOCUMENT_INVALID', 'evidence is missing', { at: 'evidence' })
  return {
    binding: bytesOf(wire.binding),
    config: bytesOf(wire.config),
    cpu: { format: wire.cpu.format ?? '', report: bytesOf(wire.cpu.report), ...withCompanions((wire.cpu.companions ?? []).map(bytesOf)) },
    devices: (wire.devices ?? []).map((d) => {
      if (d.type !== 'gpu' && d.type !== 'nvswitch')
        throw new AttestError('DOCUMENT_INVALID', 'unknown device type', { at: 'evidence.devices' })
      return { type: d.type, report: bytesOf(d.report), certificateChain: bytesOf(d.certificateChain) }
    }),
    endorsements: (wire.endorsements ?? []).map(bytesOf),
  }
}

/** What of a verdict crosses the wire. */
export interface WireVerdict {
  readonly accepted: boolean
  readonly authentic: boolean
  readonly format: string
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  /** Canonical JSON; empty unless accepted. */
  readonly claims: Uint8Array
}

export function verdictToWire(verdict: Omit<WireVerdict, 'claims'> & { readonly claims: Json | null }): sealgate.v1.IVerdict {
  return {
    accepted: verdict.accepted,
    authentic: verdict.authentic,
    format: verdict.format,
    checks: verdict.checks.map((c) => ({
      rule: c.rule,
      outcome: OUTCOME_TO_WIRE[c.outcome],
      allowed: c.allowed === true,
      want: c.want,
      got: c.got,
    })),
    notChecked: [...verdict.notChecked],
    claims: verdict.claims === null ? new Uint8Array() : encodeCanonical(verdict.claims),
  }
}

/** Reads a verdict of the other side: something to show, never something to rely on. */
export function verdictFromWire(wire: Wire<sealgate.v1.IVerdict>): WireVerdict {
  return {
    accepted: wire?.accepted === true,
    authentic: wire?.authentic === true,
    format: wire?.format ?? '',
    checks: (wire?.checks ?? []).map((c) => ({
      rule: (c.rule ?? '') as Check['rule'],
      outcome: OUTCOME_FROM_WIRE.get(c.outcome) ?? 'unknown',
      ...(c.allowed === true ? { allowed: true as const } : {}),
      want: c.want ?? '',
      got: c.got ?? '',
    })),
    notChecked: wire?.notChecked ?? [],
    claims: bytesOf(wire?.claims),
  }
}

export function entryToWire(entry: LoggedEntry): sealgate.v1.ILoggedEntry {
  return { leaf: entry.leaf, salt: entry.salt, index: entry.index, inclusionProof: [...entry.proof], checkpoint: entry.checkpoint }
}

/** @throws AttestError `DOCUMENT_INVALID` for a missing entry. */
export function entryFromWire(wire: Wire<sealgate.v1.ILoggedEntry>): LoggedEntry {
  if (!wire) throw new AttestError('DOCUMENT_INVALID', 'log entry is missing', { at: 'entry' })
  return {
    leaf: bytesOf(wire.leaf),
    salt: bytesOf(wire.salt),
    index: toNumber(wire.index),
    proof: (wire.inclusionProof ?? []).map(bytesOf),
    checkpoint: wire.checkpoint ?? '',
  }
}
