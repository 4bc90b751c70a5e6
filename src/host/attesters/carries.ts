/**
 * Whether evidence holds these bytes somewhere: how an attester notices that it got an answer to another question. Says
 * nothing of where they stand; verifiers look at the field.
 */
export function carries(evidence: Uint8Array, data: Uint8Array): boolean {
  return Buffer.from(evidence).includes(Buffer.from(data))
}
