// The arithmetic from samples to figures.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { combine, figure, summary, verdict } from '../figures.mjs';

test('a sum of lanes is taken round by round', () => {
  assert.deepEqual(combine({ a: [10, 20, 40], b: [1, 2, 4] }, { a: 1, b: -1 }), [9, 18, 36]);
  assert.deepEqual(combine({ a: [10, 20], b: [1, 2] }, { a: 1, b: 0.5 }), [10.5, 21]);
});

test('median and quartiles, in any order, of an odd and an even number', () => {
  assert.deepEqual(summary([5, 1, 4, 2, 3]), { median: 3, low: 2, high: 4 });
  assert.deepEqual(summary([4, 1, 3, 2]), { median: 2.5, low: 1.75, high: 3.25 });
  assert.deepEqual(summary([7]), { median: 7, low: 7, high: 7 });
});

test('values are ordered as numbers, not as text', () => {
  assert.equal(summary([9, 10, 100]).median, 10);
});

test('a ratio compares each round with itself: a machine that slows down does not change it', () => {
  const samples = { router: [10, 20, 30], ours: [13, 26, 39], native: [15, 30, 45] };
  assert.deepEqual(
    figure(samples, { of: { ours: 1, router: -1 }, to: { native: 1, router: -1 } }),
    { median: 0.6, low: 0.6, high: 0.6 },
  );
});

test('a figure of a lane that was not run is none', () => {
  assert.equal(figure({ a: [1] }, { of: { a: 1 }, to: { b: 1 } }), undefined);
  assert.equal(figure({ a: [1] }, { of: { b: 1 } }), undefined);
});

test('a target is met at its limit, missed above it, and missed by what is no number', () => {
  assert.equal(verdict({ median: 0.6 }, 0.6), 'met');
  assert.equal(verdict({ median: 0.601 }, 0.6), 'MISSED');
  assert.equal(verdict({ median: Number.NaN }, 0.6), 'MISSED');
  assert.equal(verdict(undefined, 0.6), 'not run');
});
