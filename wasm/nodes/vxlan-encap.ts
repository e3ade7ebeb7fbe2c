export function vxlanEncap(): void {}
