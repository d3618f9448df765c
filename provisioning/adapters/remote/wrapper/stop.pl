# Stops a unit and answers when it is gone. A unit that has not begun is cancelled in advance.

sub stop_unit {
    places();
    settle_in();
    open_lock();
    my $until = now() + $f{limit};
    while (now() < $until) {
        if (my $followed = target_of($unit)) { @f{name} = $followed; $unit = "$units/$followed" }
        finish(recorded($unit)) if recorded($unit);
        if (try_lock()) {    # nobody supervises it
            finish(recorded($unit)) if recorded($unit);
            end_what_is_left();
        }
        elsif (my $socket = (newest())[1] eq $f{name} ? connect_unit($unit) : undef) {
            syswrite $socket, "stop\n";
            vec(my $read = '', fileno $socket, 1) = 1;
            select $read, undef, undef, $until - now();    # it hangs up when it is through
        }
        elsif (!-e $unit) { cancel_unborn() }              # another unit holds the resource; ours waits for it
        nap(0.02);
    }
    finish('unknown', 0, 'it did not stop in time');
}

sub end_what_is_left {
    return cancel_unborn() unless -d $unit;
    reap($GRACE, mark => "$MARK=$unit") or finish('unknown', 0, 'its processes do not end');
    forget_secrets();
    remove_tree("$unit/bundle");
    record($unit, 'cancelled', 0);
}

# Puts a finished unit where a start would put its own. Each side writes, then looks for what the other has written.
sub cancel_unborn {
    my $cancelled = "$units/.$f{nonce}";
    mkdir($cancelled, 0700) && record($cancelled, 'cancelled', 0);
    rename $cancelled, $unit or remove_tree($cancelled);
    unlink "$unit/result" if claimed($unit);
}

# What the runner has recorded need not be kept for whoever asks again: it may hold anything that a script has printed.
sub forget_output {
    places();
    for my $name (words($f{names})) {
        my $folder = "$units/" . (target_of("$units/$name") || $name);
        next unless recorded($folder);
        unlink "$folder/out", "$folder/total";
        write_file("$folder/taken", '');
    }
    sweep_old();
    finish('exit', 0);
}

# Records of the past week stay. Claims without a result stay for ever: somebody has to look.
sub sweep_old {
    opendir my $all, $units or return;
    for my $name (readdir $all) {
        my $folder = "$units/$name";
        if (-l $folder) { unlink $folder unless -e $folder; next }
        next if $name eq '.' || $name eq '..' || time - (stat $folder)[9] < 7 * 86400;
        remove_tree($folder) if -s "$folder/result";
    }
}
