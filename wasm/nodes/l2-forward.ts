export function l2Forward(): void {}
