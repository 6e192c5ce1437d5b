// The empty room: floor, walls, zones, and the radios with their links. Site coordinates, metres, z up.
import {
  BackSide, BoxGeometry, BufferAttribute, BufferGeometry, Color, CylinderGeometry, DoubleSide, EdgesGeometry, Group, LineBasicMaterial, LineSegments,
  Mesh, MeshBasicMaterial, MeshStandardMaterial, OctahedronGeometry, PlaneGeometry, Shape, ShapeGeometry, SphereGeometry, Vector3,
} from 'three';
import { colour } from '../state/theme';
import type { Site } from '../state/sites';

export interface Shown {
  links: boolean;
  zones: boolean;
}

export interface Label {
  text: string;
  at: Vector3;
  kind: 'zone' | 'link';
}

const lines = (points: number[], material: LineBasicMaterial) => {
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new BufferAttribute(new Float32Array(points), 3));
  return new LineSegments(geometry, material);
};

export class Room {
  readonly group = new Group();
  readonly labels: Label[] = [];
  private readonly frame: LineBasicMaterial;
  private readonly quiet: Color;
  private readonly loud: Color;

  constructor(site: Site, shown: Shown) {
    const { x, y, z } = site.roomM;
    this.quiet = new Color(colour('room-edge'));
    this.loud = new Color(colour('accent'));

    const floor = new Mesh(new PlaneGeometry(x, y), new MeshBasicMaterial({ color: colour('floor') }));
    floor.position.set(x / 2, y / 2, -0.005);
    this.group.add(floor, this.grid(x, y));

    // Drawn from the inside only, so that the near walls hide nothing.
    const walls = new Mesh(new BoxGeometry(x, y, z), new MeshBasicMaterial({ color: colour('wall'), transparent: true, opacity: 0.45, depthWrite: false, side: BackSide }));
    walls.position.set(x / 2, y / 2, z / 2 - 0.02);
    this.group.add(walls);

    this.frame = new LineBasicMaterial({ color: this.quiet, transparent: true, opacity: 0.75 });
    const box = new LineSegments(new EdgesGeometry(new BoxGeometry(x, y, z)), this.frame);
    box.position.set(x / 2, y / 2, z / 2);
    this.group.add(box);

    if (shown.zones) site.zones.forEach((zone, i) => this.zone(zone, i));
    if (shown.links) this.links(site);
  }

  /** Walls shine as the signal moves: 1 is the quiet room's upper quantile. */
  motion(level: number | null): void {
    const share = level === null ? 0 : Math.min(1, Math.max(0, (level - 1) / 6));
    this.frame.color.copy(this.quiet).lerp(this.loud, share);
  }

  private grid(x: number, y: number): LineSegments {
    const points: number[] = [];
    for (let i = 1; i < x; i += 1) points.push(i, 0, 0, i, y, 0);
    for (let i = 1; i < y; i += 1) points.push(0, i, 0, x, i, 0);
    return lines(points, new LineBasicMaterial({ color: colour('grid') }));
  }

  private zone({ name, polygonM }: Site['zones'][number], index: number): void {
    const first = polygonM[0];
    if (!first || polygonM.length < 3) return;
    const shape = new Shape();
    polygonM.forEach((p, i) => (i === 0 ? shape.moveTo(p.x, p.y) : shape.lineTo(p.x, p.y)));
    const fill = new MeshBasicMaterial({ color: colour(`zone-${index % 4}`), transparent: true, opacity: 0.1, side: DoubleSide, depthWrite: false });
    const area = new Mesh(new ShapeGeometry(shape), fill);
    area.position.z = 0.002;
    const edge: number[] = [];
    polygonM.forEach((p, i) => {
      const next = polygonM[(i + 1) % polygonM.length] ?? p;
      edge.push(p.x, p.y, 0.006, next.x, next.y, 0.006);
    });
    this.group.add(area, lines(edge, new LineBasicMaterial({ color: colour(`zone-${index % 4}`), transparent: true, opacity: 0.7 })));
    const middle = polygonM.reduce((sum, p) => sum + p.x / polygonM.length, 0);
    this.labels.push({ text: name, at: new Vector3(middle, Math.min(...polygonM.map((p) => p.y)) + 0.3, 0), kind: 'zone' });
  }

  private links(site: Site): void {
    const transmitter = new MeshStandardMaterial({ color: colour('transmitter'), emissive: colour('transmitter'), emissiveIntensity: 0.5 });
    const receiver = new MeshStandardMaterial({ color: colour('receiver'), emissive: colour('receiver'), emissiveIntensity: 0.5 });
    const stand = new LineBasicMaterial({ color: colour('grid') });
    const way = new LineBasicMaterial({ color: colour('link'), transparent: true, opacity: 0.55 });
    const seen = new Set<string>();
    const radio = ({ x, y, z }: Site['roomM'], sends: boolean) => {
      const key = `${sends}${x},${y},${z}`;
      if (seen.has(key)) return;
      seen.add(key);
      const body = sends ? new Mesh(new OctahedronGeometry(0.12), transmitter) : new Mesh(new SphereGeometry(0.075, 16, 12), receiver);
      body.position.set(x, y, z);
      const foot = new Mesh(new CylinderGeometry(0.09, 0.09, 0.02, 20).rotateX(Math.PI / 2), sends ? transmitter : receiver);
      foot.position.set(x, y, 0.01);
      this.group.add(body, foot, lines([x, y, 0, x, y, z], stand));
    };
    for (const { id, transmitterM: t, receiverM: r } of site.links) {
      radio(t, true);
      radio(r, false);
      this.group.add(lines([t.x, t.y, t.z, r.x, r.y, r.z], way));
      this.labels.push({ text: id, at: new Vector3(r.x, r.y, r.z + 0.2), kind: 'link' });
    }
  }

  dispose(): void {
    this.group.traverse((object) => {
      if (object instanceof Mesh || object instanceof LineSegments) {
        object.geometry.dispose();
        (object.material as MeshBasicMaterial).dispose();
      }
    });
  }
}
