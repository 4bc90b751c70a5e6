/**
 * Every row: `unit`, what it stands `against`, whether `better` is higher or lower, `env` and `args` for its process if it needs any,
 * in how many `processes` it is run where one is not like the next, and how to load what measures it: a function that
 * gives `{value, reference, ratio, spread}`, ratio = value / reference, and `against` where that is known only then.
 * Rows are loaded one by one: what a row does not use would make the collection of its garbage dearer.
 */
const snp = () => import('./rows/verify-snp.mjs')
const dcap = () => import('./rows/verify-dcap.mjs')
const PEER = '@phala/dcap-qvl, which keeps nothing and checks less'
const seal = () => import('./rows/seal.mjs')
const gpu = () => import('./rows/verify-gpu.mjs')
const log = () => import('./rows/log.mjs')
const dataset = () => import('./rows/dataset.mjs')
const hpke = () => import('./rows/hpke.mjs')
const receipt = () => import('./rows/receipt.mjs')
const upload = () => import('./rows/upload.mjs')
const GCM = 'bare AES-256-GCM, createCipheriv per 1 MiB chunk'
const TLS = 'a bare TLS 1.3 socket to a process that discards'
/** glibc gives back and fetches again each buffer of 1 MiB; told to keep them, both sides run at the speed of the cipher. */
const malloc = { MALLOC_MMAP_THRESHOLD_: '67108864', MALLOC_TRIM_THRESHOLD_: '268435456', MALLOC_TOP_PAD_: '16777216' }

function dcapRows(tee) {
  const row = (name, against, load) => ({ id: `verify.${tee}.${name}`, unit: 'quotes/cpu-s', better: 'higher', against, load })
  return [
    row('cold', PEER, async () => (await dcap()).cold(tee)),
    row('warm', 'two ECDSA P-256 verifications, one of which imports its key', async () => (await dcap()).warm(tee)),
    row('warm.peer', PEER, async () => (await dcap()).warmAgainstPeer(tee)),
    row('repeat', 'one bare ECDSA P-256 verification, key imported', async () => (await dcap()).repeat(tee)),
  ]
}

export const rows = [
  {
    id: 'verify.snp.cold',
    unit: 'reports/cpu-s',
    better: 'higher',
    against: 'bare verification of the signatures it checks, keys imported',
    load: async () => (await snp()).cold,
  },
  {
    id: 'verify.snp.warm',
    unit: 'reports/cpu-s',
    better: 'higher',
    against: 'one bare ECDSA P-384 verification, key imported',
    load: async () => (await snp()).warm,
  },
  ...['tdx', 'sgx'].flatMap(dcapRows),
  {
    id: 'verify.pool',
    unit: 'reports/s',
    better: 'higher',
    against: 'the same reports in one thread, no pool (wall time)',
    load: async () => (await snp()).pool,
  },
  {
    id: 'verify.memory',
    unit: 'MB',
    better: 'lower',
    against: 'heap and buffers after 50,000 quotes; the value is after 100,000',
    args: ['--expose-gc'],
    load: async () => (await dcap()).memory,
  },
  {
    id: 'verify.gpu.cold',
    unit: 'reports/cpu-s',
    better: 'higher',
    against: 'as many bare ECDSA P-384 verifies as there are signatures',
    load: async () => (await gpu()).cold,
  },
  {
    id: 'verify.gpu.warm',
    unit: 'reports/cpu-s',
    better: 'higher',
    against: 'one bare ECDSA P-384 verify, key imported',
    load: async () => (await gpu()).warm,
  },
  {
    id: 'verify.gpu.set8',
    unit: 'systems/cpu-s',
    better: 'higher',
    against: 'as many bare ECDSA P-384 verifies as there are signatures',
    load: async () => (await gpu()).set8,
  },
  { id: 'seal.encrypt', unit: 'MB/cpu-s', better: 'higher', against: GCM, processes: 3, load: async () => (await seal()).encrypt },
  { id: 'seal.decrypt', unit: 'MB/cpu-s', better: 'higher', against: GCM, processes: 3, load: async () => (await seal()).decrypt },
  {
    id: 'seal.encrypt.malloc',
    unit: 'MB/cpu-s',
    better: 'higher',
    against: `${GCM}, both with malloc set`,
    env: malloc,
    processes: 3,
    load: async () => (await seal()).encrypt,
  },
  {
    id: 'seal.decrypt.malloc',
    unit: 'MB/cpu-s',
    better: 'higher',
    against: `${GCM}, both with malloc set`,
    env: malloc,
    processes: 3,
    load: async () => (await seal()).decrypt,
  },
  ...[1, 16, 256].map((writers) => ({
    id: `log.append.${writers}`,
    unit: 'entries/s',
    better: 'higher',
    against: `bare durable SQLite commits of ${writers} such row${writers === 1 ? '' : 's'}`,
    load: async () => () => log().then((rows) => rows.append(writers)),
  })),
  {
    id: 'log.proof',
    unit: 'ms',
    better: 'lower',
    against: 'the same at 10^3 leaves, times log 10^7 / log 10^3',
    load: async () => (await log()).proof,
  },
  {
    id: 'seal.age',
    unit: 'MB/s',
    better: 'higher',
    against: 'the command age (Debian), the same 1 GiB',
    load: async () => (await dataset()).seal,
  },
  { id: 'seal.age.open', unit: 'MB/s', better: 'higher', against: 'age -d, the same 1 GiB', load: async () => (await dataset()).open },
  { id: 'seal.memory', unit: 'MiB', better: 'lower', against: 'a limit of 200 MiB', load: async () => (await dataset()).memory },
  {
    id: 'hpke.wrap.hybrid',
    unit: 'wraps/cpu-s',
    better: 'higher',
    against: 'bare ML-KEM-768 encapsulation (noble), X25519 key and agreement (OpenSSL)',
    load: async () => (await hpke()).hybrid,
  },
  {
    id: 'hpke.wrap.p384',
    unit: 'wraps/cpu-s',
    better: 'higher',
    against: 'bare P-384 key, agreement and HKDF (OpenSSL)',
    load: async () => (await hpke()).classic,
  },
  {
    id: 'receipt.verify.node',
    unit: 'ms',
    better: 'lower',
    against: 'its signatures alone: 1 P-384, 4 RSA-4096 PSS, 11 Ed25519, keys imported',
    load: async () => (await receipt()).node,
  },
  {
    id: 'receipt.verify.browser',
    unit: 'ms',
    better: 'lower',
    against: 'the same file in Node (wall time)',
    load: async () => (await receipt()).browser,
  },
  { id: 'upload', unit: 'MB/s', better: 'higher', against: TLS, load: async () => (await upload()).direct },
  {
    id: 'upload.rtt20',
    unit: 'MB/s',
    better: 'higher',
    against: `${TLS}, both through a proxy that adds 20 ms`,
    load: async () => (await upload()).roundTrip20,
  },
  {
    id: 'job.overhead',
    unit: 'ms/job',
    better: 'lower',
    against: 'a bare run of the same workload',
    load: async () => (await import('./rows/job.mjs')).overhead,
  },
  {
    id: 'service.latency',
    unit: 'ms',
    better: 'lower',
    against: 'a limit of 3 ms added to the median',
    load: async () => (await import('./rows/service.mjs')).latency,
  },
  {
    id: 'service.throughput',
    unit: 'requests/s',
    better: 'higher',
    against: 'the same server as a bare process on loopback',
    load: async () => (await import('./rows/service.mjs')).throughput,
  },
  {
    id: 'service.bulk',
    unit: 'MB/s',
    better: 'higher',
    against: 'the same server as a bare process on loopback',
    load: async () => (await import('./rows/service.mjs')).bulk,
  },
]
