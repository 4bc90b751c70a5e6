export { loadWitnessKey, WITNESS_FILES, type WitnessConfig, type WitnessedLog, type WitnessPrivateKey } from './config.ts'
export { cosignerKeyOf, type RunningWitness, startWitness, type WitnessOptions } from './start-witness.ts'
export { type DiskCalls, encodeEmptyState } from './state-file.ts'
