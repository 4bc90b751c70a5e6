export { createRunner, type RunnerOptions } from './create-runner.ts'
export { DEFAULT_IMAGES, type ListedImage, listImages } from './images.ts'
export type {
  AppliedIsolation,
  CapturedStream,
  LoadedJob,
  RunInput,
  RunItem,
  Runner,
  RunOutcome,
  RunOutput,
  RunRequest,
  RunUsage,
} from './types.ts'
