export type { LoadedItems, PoolVerifyOptions } from './protocol.ts'
export { VerifierPool, type VerifierPoolOptions } from './verifier-pool.ts'
