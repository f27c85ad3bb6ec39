"""Protocols: which generators train, which test, on which track, with which seeds; and the tables that come of it.

A protocol expands into cells (detector x training set x seed x track). Each cell is one training and one table of
scores; everything else is derived from the scores. `fakefreq benchmark` writes into its folder:

benchmark.json
    protocols, detectors (label -> configuration), seeds, tracks (name -> manifest path, digest, history), baseline,
    draws, prevalence, code (digest of what scores depend on), environment (with the command), biased (training sets
    that fail the audit, with the reason).
cells/<cell>/
    one cell: run/ (as `fakefreq train` leaves it) and scores.parquet (.csv without pyarrow). `<cell>` starts with
    detector, training set, seed and track in words and ends in 12 digits of the digest.
scores.parquet (scores.csv without pyarrow)
    cell, detector, train_on, seed, track, role, path, sha256, label, generator, source, subset, group, split, logit.
    `role` is `val` (chose the threshold, fits calibrations) or `test` (everything that is reported). `train_on` joins
    generators with `+`. `detector` is the label of the command line, such as `pixel` or `two_stream_fft`.
cells.csv
    cell, detector, train_on, seed, track, status (done, failed), threshold, val_auc, best_epoch, n_train, n_val,
    n_test, parameters.
cost.csv (timings: not the same from run to run)
    cell, detector, train_on, seed, track, parameters, train_seconds, score_seconds, score_images, device.
training.csv: the training curves of all cells
    track, train_on, seed, detector, epoch, step, phase (train, val), loss, auc.
failures.csv (absent where all went well)
    cell, detector, train_on, seed, track, error.
metrics.csv: one row a protocol, cell, test set and metric
    protocol, track, train_on, seed, detector, test, kind, seen, metric, value, low, high, n_real, n_fake, groups,
    threshold, note. `kind` is generator, source (one source of reals with the fakes that stand against it), control
    (reals only), pooled (everything), mean (macro mean over unseen generators, named `mean of unseen`; over all seen
    ones `mean of seen`) or worst (the generator of lowest value among the unseen, named in `note`). `value` is empty
    where the images are too few, and `note` says so. Metrics: auc, ap, partial_auc (FPR to .1, standardised),
    accuracy (validation threshold), accuracy_half (probability .5), balanced_accuracy, eer, tpr_at_fpr_1,
    tpr_at_fpr_01 (FPR 1 % and .1 % over the test set's own photographs), fpr, tpr, precision (at the stated
    prevalence), brier, nll, ece; found_at_1, found_at_5 (share of fakes found) and false_alarms_at_1,
    false_alarms_at_5 (share of photographs called fake) at the threshold that 1 or 5 % of the cell's validation
    photographs exceed.
summary.csv: the same over seeds (this is the table to print)
    protocol, track, train_on, detector, test, kind, seen, metric, value (mean over seeds), low, high (95 %, images
    and seeds both), sd_seeds, least, most (over seeds), n_seeds, n_real, n_fake, note.
matrix.csv: the train x test heat maps (all rows of summary.csv with kind generator, mean, control; metrics auc, ap,
    accuracy, fpr), columns as summary.csv. Rows of a heat map are `train_on`, columns are `test`.
differences.csv: every detector less the baseline, paired on the same images
    protocol, track, train_on, seed, detector, baseline, test, kind, seen, metric, value, low, high, standard_error, p,
    p_holm, detectable, test_used, n_real, n_fake, n_seeds, note. `seed` is a number (paired DeLong for auc, paired
    bootstrap for others) or `all` (mean over seeds; seeds as a random effect). `p_holm` is corrected over the
    generators of one protocol, track, training set, detector and metric. `detectable` is the smallest true difference
    that this n would find with a power of 80 % at the 5 % level. The headline is seed `all`, metric auc, test
    `mean of unseen`.
curves.csv: ROC curves with bands (DET: miss rate = 1 - tpr)
    protocol, track, train_on, detector, test, kind, seen, fpr, tpr, low, high, n_seeds. `tpr` is the mean over
    seeds on a fixed grid of fpr; low and high are pointwise 95 % over images and seeds.
calibration.csv
    protocol, track, train_on, seed, detector, test, kind, seen, method (none, temperature, platt, isotonic), metric
    (ece, nll, brier), value, low, high, n_real, n_fake, note.
reliability.csv (seed as in metrics.csv; equal-mass bins)
    protocol, track, train_on, seed, detector, test, kind, seen, method, bin, predicted, observed, low, high, n.
    tests are `pooled seen` and `pooled unseen` besides each generator.
abstention.csv: split-conformal, fitted on validation
    protocol, track, train_on, seed, detector, test, kind, seen, stated (coverage), coverage, low, high, abstained
    (share of images with no single answer), error (share of wrong ones among those answered), n_real, n_fake, note.
errors.csv: the most confident errors, for a gallery
    track, train_on, seed, detector, kind (false_positive, missed), rank, path, sha256, label, generator, source,
    logit, threshold, seen. `path` is relative to the folder of the track's manifest (see benchmark.json).
robustness.csv (from `fakefreq robustness`, or `fakefreq benchmark --sweep`)
    protocol, track, train_on, seed, detector, test, kind, seen, family (jpeg, blur, ...), degradation (its text;
    `none` for the images as they are), level (a number to draw along; empty for chains), applied_to (both, fakes,
    reals), metric (auc, fpr, tpr, accuracy), value, low, high, difference (from `none`), difference_low,
    difference_high, n_real, n_fake, note.

spectra/<track>/: mean spectra of every generator and control, as `fakefreq spectrum` writes them.
comparison.csv (from `fakefreq compare` and `demo`): metrics.csv and differences.csv of one training set, as one
    seed (a number, or `all`), generator, kind, seen, detector, metric (auc, ap, accuracy, each with `_difference` for
    all but the baseline; fpr, tpr), value, low, high, p, baseline, n_real, n_fake, threshold, trained_on, note.

Every table but the scores ends in the column `biased`: empty, or why the audit of the row's training images failed
(after --allow-biased). `track` is raw, native (nothing resized, one JPEG law for all) or aligned (one size and one
codec for all). All tables are sorted by their key columns and written whole; numbers have six significant digits. An
empty cell means that there is no such number, never zero.
"""
