import type { EventSummary, ReceiptSummary } from '../verify/receipt/index.ts'
import type { Output } from './output.ts'

/** An event, for people. */
export function eventLines(s: EventSummary, { paint }: Pick<Output, 'paint'>): readonly string[] {
  return [
    ...factLines(s, paint),
    ...mlDsaLine(s, paint),
    ...(s.loggedAt === null ? [] : [`  logged       ${s.loggedAt} by the log`]),
    ...(s.log === null ? [] : [`  log          ${s.log.origin}, entry ${s.log.index}, witnesses ${s.log.witnesses}`]),
  ]
}

function factLines(s: EventSummary, paint: Output['paint']): readonly string[] {
  switch (s.type) {
    case 'erasure':
      return erasureLines(s, paint)
    case 'revocation':
      return [
        `  revoked      grant ${s.grant}`,
        `  by           owner ${s.owner}, at ${s.revokedAt} by its own clock`,
        ...s.datasets.map((d) => `  of           dataset ${d}`),
        `  jobs         ${s.stopJobs ? 'those with keys were to be stopped' : 'those with keys go on'}`,
      ]
    case 'hold':
      return [
        `  ${s.held ? 'held        ' : 'resumed     '} grant ${s.grant}, sequence ${s.sequence}`,
        `  by           owner ${s.owner}, at ${s.at} by its own clock`,
        ...(s.basis === null ? [] : [`  basis        ${s.basis}`]),
        ...s.datasets.map((d) => `  of           dataset ${d}`),
        ...(s.held ? [`  jobs         ${s.stopJobs ? 'those with keys were to be stopped' : 'those with keys go on'}`] : []),
      ]
    case 'onboard':
      return [
        `  host         ${s.host}`,
        ...(s.simulated ? [paint.warn('  evidence     SIMULATED: no hardware protected anything')] : []),
        `  enclave      ${s.tee}, measurement ${s.measurement ?? 'none'}, binding ${s.bindingGrade}`,
        `  counts until ${s.expires}`,
      ]
  }
}

function erasureLines(s: Extract<EventSummary, { readonly type: 'erasure' }>, paint: Output['paint']): readonly string[] {
  const { ciphertext, uploads, jobs, results, grants, openings } = s.destroyed
  return [
    `  erased       dataset ${s.dataset} (${s.plaintextSize} bytes of plaintext)`,
    `  by           owner ${s.owner}, ordered ${s.orderedAt} by its own clock`,
    ...(s.reason === null ? [] : [`  reason       ${s.reason}`]),
    `  destroyed    ${ciphertext === null ? 'no ciphertext was there' : `ciphertext of ${ciphertext.bytes} bytes, sha256 ${ciphertext.digest}`}`,
    `               records of ${jobs} jobs, ${results} sealed results, ${grants} grants, ${uploads} uploads, ${openings} openings of the log`,
    paint.dim('               so says the gateway; the key was the owner’s to destroy'),
  ]
}

export function mlDsaLine({ mlDsa }: Pick<ReceiptSummary, 'mlDsa'>, paint: Output['paint']): readonly string[] {
  if (mlDsa === null) return []
  if (mlDsa.trusted) return [`  ML-DSA-65    signed by the gateway's key ${mlDsa.signer} too`]
  return [paint.warn(`  ML-DSA-65    signer unknown: ${mlDsa.signer}; counts for nothing`)]
}
