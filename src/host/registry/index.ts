export { type Registry, readRegistries } from './config.ts'
export { type PulledImage, type PullOptions, pullImage } from './pull.ts'
