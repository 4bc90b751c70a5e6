import { assertRoundTrip } from './invariants.mjs'

const text = (value) => Buffer.from(JSON.stringify(value))
const b64 = (size, fill) => Buffer.alloc(size, fill).toString('base64url')
const wrapped = { ciphertext: b64(60, 1), epoch: 3, kek: `sealgate-kek-3-${b64(16, 2)}` }
const digest = b64(32, 3)

/** Rows of a broker's store, by the names under which they lie. */
const ROWS = [
  ['epochsRows', 'epochs.json', { keks: [{ epoch: 3, id: wrapped.kek }], type: 'sealgate/broker-epochs/v1', v: 1 }],
  ['keyRows', `dataset-${digest}.json`, { header: b64(300, 4), type: 'sealgate/broker-dataset/v1', v: 1, wrapped }],
  ['keyRows', `grant-${digest}.json`, { jws: b64(300, 5), type: 'sealgate/broker-grant/v1', v: 1, wrapped }],
  [
    'keyRows',
    'own-intent-key.json',
    { publicKey: { crv: 'Ed25519', kty: 'OKP', x: b64(32, 6) }, type: 'sealgate/broker-intent-key/v1', v: 1, wrapped },
  ],
  ['ledgerRows', `ledger-${digest}.json`, { nextSlot: 7, owner: digest, type: 'sealgate/broker-ledger/v1', v: 1 }],
  ['revocationRows', `revoked-${digest}.json`, { jws: b64(300, 8), type: 'sealgate/broker-revocation/v1', v: 1 }],
]

const CONFIGS = [
  { v: 1, kind: 'file', passphraseFile: 'passphrase' },
  { v: 1, kind: 'file', keyFile: 'key', folder: 'keks' },
  { v: 1, kind: 'pkcs11', module: '/usr/lib/softhsm/libsofthsm2.so', token: 'sealgate', serial: '1234', pinFile: 'pin' },
  { v: 1, kind: 'kms', url: 'https://kms.example', caFile: 'ca', certFile: 'c', keyFile: 'k', tokenFile: 't', timeoutMs: 1000 },
]

export const brokerTargets = [
  {
    name: 'broker-rows',
    async open({ load }) {
      const rows = await load('broker/store/rows.js')
      return {
        seeds: ROWS.map(([, , row]) => text(row)),
        run: (input) => {
          const failures = []
          for (const [codec, name] of ROWS) {
            try {
              assertRoundTrip(input, rows[codec].encode(rows[codec].parse(name, input)))
            } catch (error) {
              failures.push(error)
            }
          }
          const violation = failures.find((error) => error.code !== 'KEYSTORE_CORRUPT')
          if (violation !== undefined) throw violation
        },
      }
    },
  },
  {
    name: 'key-store-config',
    async open({ load }) {
      const { parseKeyStoreConfig } = await load('broker/key-store/config.js')
      return { seeds: CONFIGS.map(text), run: (input) => void parseKeyStoreConfig(Buffer.from(input).toString()) }
    },
  },
]
