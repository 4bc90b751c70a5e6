export { type Registry, readRegistries } from './config.ts'
export { type PulledImage, pullImage } from './pull.ts'
