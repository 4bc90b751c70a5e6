import { AttestError } from '../errors.ts'
import type { JwsSigner, MlDsaJwsSigner, VerifiedGeneralJws } from '../formats/jws.ts'

/** Who signed a receipt, by the place of the signature: the enclave first, the gateway second, the gateway's ML-DSA key last. */
export interface ReceiptSigners {
  /** The enclave's job key; null where the gateway alone states the end. */
  readonly agent: JwsSigner | null
  readonly gateway: JwsSigner
  /** Null: no third signature. Whose it is, only a trust file can say. */
  readonly mlDsa: MlDsaJwsSigner | null
}

/** @throws AttestError `JWS_MALFORMED` for more signatures than a receipt has places for. */
export function receiptSigners({ signers, mlDsa }: VerifiedGeneralJws): ReceiptSigners {
  const [first, second, ...others] = signers
  if (first === undefined || others.length > 0) {
    throw new AttestError('JWS_MALFORMED', `want the signatures of enclave and gateway, or of the gateway; got ${signers.length}`, {
      at: 'receipt',
    })
  }
  return second === undefined ? { agent: null, gateway: first, mlDsa } : { agent: first, gateway: second, mlDsa }
}
