import { AttestError, type ErrorCode } from '../../../verify/errors.ts'

/** `CK_RV` (PKCS #11 v2.40, pkcs11t.h). */
export const CKR = {
  SLOT_ID_INVALID: 0x3,
  GENERAL_ERROR: 0x5,
  FUNCTION_FAILED: 0x6,
  DATA_INVALID: 0x20,
  DATA_LEN_RANGE: 0x21,
  DEVICE_ERROR: 0x30,
  DEVICE_MEMORY: 0x31,
  DEVICE_REMOVED: 0x32,
  ENCRYPTED_DATA_INVALID: 0x40,
  ENCRYPTED_DATA_LEN_RANGE: 0x41,
  AEAD_DECRYPT_FAILED: 0x42,
  KEY_HANDLE_INVALID: 0x60,
  KEY_FUNCTION_NOT_PERMITTED: 0x68,
  MECHANISM_INVALID: 0x70,
  OBJECT_HANDLE_INVALID: 0x82,
  OPERATION_ACTIVE: 0x90,
  PIN_INCORRECT: 0xa0,
  PIN_INVALID: 0xa1,
  PIN_LEN_RANGE: 0xa2,
  PIN_EXPIRED: 0xa3,
  PIN_LOCKED: 0xa4,
  SESSION_CLOSED: 0xb0,
  SESSION_COUNT: 0xb1,
  SESSION_HANDLE_INVALID: 0xb3,
  TOKEN_NOT_PRESENT: 0xe0,
  TOKEN_NOT_RECOGNIZED: 0xe1,
  TOKEN_WRITE_PROTECTED: 0xe2,
  USER_ALREADY_LOGGED_IN: 0x100,
  USER_NOT_LOGGED_IN: 0x101,
  USER_PIN_NOT_INITIALIZED: 0x102,
  CRYPTOKI_NOT_INITIALIZED: 0x190,
  CRYPTOKI_ALREADY_INITIALIZED: 0x191,
} as const

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(CKR).map(([name, code]) => [code, `CKR_${name}`]))

const DENIED: ReadonlySet<number> = new Set([
  CKR.PIN_INCORRECT,
  CKR.PIN_INVALID,
  CKR.PIN_LEN_RANGE,
  CKR.PIN_EXPIRED,
  CKR.PIN_LOCKED,
  CKR.USER_PIN_NOT_INITIALIZED,
  CKR.KEY_FUNCTION_NOT_PERMITTED,
  CKR.TOKEN_WRITE_PROTECTED,
])

/** The session is gone, and with it the login and the handles, or stuck in what it began: a new one may do. */
const LOST: ReadonlySet<number> = new Set([
  CKR.SESSION_CLOSED,
  CKR.OPERATION_ACTIVE,
  CKR.SESSION_HANDLE_INVALID,
  CKR.USER_NOT_LOGGED_IN,
  CKR.KEY_HANDLE_INVALID,
  CKR.OBJECT_HANDLE_INVALID,
  CKR.DEVICE_REMOVED,
  CKR.TOKEN_NOT_PRESENT,
  CKR.CRYPTOKI_NOT_INITIALIZED,
])

/** What a token answers to a ciphertext that is not its own. GENERAL_ERROR is SoftHSM's word for it. */
export const DOES_NOT_OPEN: ReadonlySet<number> = new Set([
  CKR.ENCRYPTED_DATA_INVALID,
  CKR.ENCRYPTED_DATA_LEN_RANGE,
  CKR.AEAD_DECRYPT_FAILED,
  CKR.DATA_INVALID,
  CKR.DATA_LEN_RANGE,
  CKR.FUNCTION_FAILED,
  CKR.GENERAL_ERROR,
])

/** A function of the token failed; its name and the token's word are in the message, nothing that went in or out. */
export class TokenError extends AttestError {
  readonly rv: number

  constructor(name: string, rv: number) {
    super(codeOf(rv), `the token answered ${NAMES.get(rv) ?? `0x${rv.toString(16)}`}`, { at: `pkcs11.${name}` })
    this.rv = rv
  }

  get isLost(): boolean {
    return LOST.has(this.rv)
  }
}

function codeOf(rv: number): ErrorCode {
  return DENIED.has(rv) ? 'KEYSTORE_DENIED' : 'KEYSTORE_UNAVAILABLE'
}
