import { AttestError } from '../../../verify/errors.ts'
import { CKR, TokenError } from './return-codes.ts'

/**
 * The functions that are called, with the types of their parameters (PKCS #11 v2.40 section 5). Structures are buffers that
 * this program lays out itself.
 */
const FUNCTIONS = {
  C_Initialize: ['void *'],
  C_GetSlotList: ['uint8_t', 'void *', 'void *'],
  C_GetTokenInfo: ['unsigned long', 'void *'],
  C_OpenSession: ['unsigned long', 'unsigned long', 'void *', 'void *', 'void *'],
  C_CloseSession: ['unsigned long'],
  C_Login: ['unsigned long', 'unsigned long', 'void *', 'unsigned long'],
  C_GenerateKey: ['unsigned long', 'void *', 'void *', 'unsigned long', 'void *'],
  C_GetAttributeValue: ['unsigned long', 'unsigned long', 'void *', 'unsigned long'],
  C_FindObjectsInit: ['unsigned long', 'void *', 'unsigned long'],
  C_FindObjects: ['unsigned long', 'void *', 'unsigned long', 'void *'],
  C_FindObjectsFinal: ['unsigned long'],
  C_DestroyObject: ['unsigned long', 'unsigned long'],
  C_EncryptInit: ['unsigned long', 'void *', 'unsigned long'],
  C_Encrypt: ['unsigned long', 'void *', 'unsigned long', 'void *', 'void *'],
  C_DecryptInit: ['unsigned long', 'void *', 'unsigned long'],
  C_Decrypt: ['unsigned long', 'void *', 'unsigned long', 'void *', 'void *'],
} as const

/** A structure with the buffers that it points at. */
export interface Structure {
  readonly bytes: Uint8Array
  readonly holds: readonly Uint8Array[]
}

type Argument = number | bigint | Uint8Array | Structure | null

/** A module of a token's maker, loaded. */
export interface Cryptoki {
  /**
   * Calls a function on a thread of its own. Buffers may be changed until it resolves.
   * @throws TokenError for anything but CKR_OK.
   */
  call(name: keyof typeof FUNCTIONS, ...args: readonly Argument[]): Promise<void>
  /** Address of a buffer, for a {@link Structure} that points at it and holds it. */
  address(buffer: Uint8Array): bigint
}

type Koffi = typeof import('koffi')

/** CKF_OS_LOCKING_OK in CK_C_INITIALIZE_ARGS: calls come from several threads, one after the other. */
const INITIALIZE_ARGS_SIZE = 48
const INITIALIZE_ARGS_FLAGS = 32
const OS_LOCKING_OK = 2n

/** One for each module and process: C_Initialize and the login are the process's, not the caller's. */
const loaded = new Map<string, Promise<Cryptoki>>()

/**
 * @param path - The module, a shared library. It runs inside of this process: trust it as this program.
 * @throws AttestError `KEYSTORE_UNAVAILABLE`.
 */
export function loadCryptoki(path: string): Promise<Cryptoki> {
  const known = loaded.get(path)
  if (known !== undefined) return known
  const made = bind(path)
  loaded.set(path, made)
  made.catch(() => loaded.delete(path))
  return made
}

async function bind(path: string): Promise<Cryptoki> {
  const koffi = await loadKoffi()
  if (koffi.sizeof('unsigned long') !== 8 || process.platform === 'win32') {
    throw new AttestError('KEYSTORE_UNAVAILABLE', 'PKCS #11 is supported on 64-bit Linux and macOS', { at: 'pkcs11' })
  }
  const functions = bindFunctions(koffi, path)
  // The addresses in a structure are good as long as its buffers are reachable: until the call is back.
  const running = new Set<readonly Argument[]>()
  const cryptoki: Cryptoki = {
    address: (buffer) => koffi.address(buffer),
    call: (name, ...args) =>
      new Promise((resolve, reject) => {
        running.add(args)
        functions.get(name)?.async(...args.map(pointer), (cause: Error | null, rv: number | bigint) => {
          running.delete(args)
          if (cause !== null)
            reject(new AttestError('KEYSTORE_UNAVAILABLE', 'the call did not come through', { at: `pkcs11.${name}`, cause }))
          else if (Number(rv) === 0) resolve()
          else reject(new TokenError(name, Number(rv)))
        })
      }),
  }
  await initialize(cryptoki)
  return cryptoki
}

function pointer(argument: Argument): number | bigint | Uint8Array | null {
  return argument !== null && typeof argument === 'object' && 'bytes' in argument ? argument.bytes : argument
}

/** @throws AttestError `KEYSTORE_UNAVAILABLE`. */
export async function initialize(cryptoki: Cryptoki): Promise<void> {
  const args = new Uint8Array(INITIALIZE_ARGS_SIZE)
  new DataView(args.buffer).setBigUint64(INITIALIZE_ARGS_FLAGS, OS_LOCKING_OK, true)
  try {
    await cryptoki.call('C_Initialize', args)
  } catch (error) {
    if (!(error instanceof TokenError) || error.rv !== CKR.CRYPTOKI_ALREADY_INITIALIZED) throw error
  }
}

type Bound = ReturnType<ReturnType<Koffi['load']>['func']>

function bindFunctions(koffi: Koffi, path: string): ReadonlyMap<string, Bound> {
  try {
    const handle = koffi.load(path)
    return new Map(Object.entries(FUNCTIONS).map(([name, types]) => [name, handle.func(name, 'unsigned long', [...types])]))
  } catch (cause) {
    throw new AttestError('KEYSTORE_UNAVAILABLE', `${path} is no PKCS #11 module that can be loaded here`, { at: 'pkcs11', cause })
  }
}

async function loadKoffi(): Promise<Koffi> {
  try {
    return ((await import('koffi')) as { readonly default: unknown }).default as Koffi
  } catch (cause) {
    throw new AttestError('KEYSTORE_UNAVAILABLE', 'calls into a token need the optional package koffi: npm install koffi', {
      at: 'koffi',
      cause,
    })
  }
}
