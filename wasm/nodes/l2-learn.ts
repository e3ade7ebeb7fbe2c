export function l2Learn(): void {}
