export function neighborProxy(): void {}
