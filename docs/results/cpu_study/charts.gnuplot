# Draws the charts again: gnuplot charts.gnuplot
if (!exists('aside')) aside = ''

reset
set encoding utf8
height = 460
set border 3 lc rgb '#777777'
unset key
set tics nomirror out scale 0.6 textcolor rgb '#333333' noenhanced
set grid x y lt 1 lc rgb '#e4e4e4' lw 0.8
set lmargin at screen 0.12
set rmargin at screen 0.8600
set tmargin at screen 0.8913
set bmargin at screen 0.1652
set label 'Best validation loss after 20 s of training' at screen 0.02, screen 0.9478 left noenhanced font ',18' tc rgb '#111111'
set style textbox noborder
set xlabel noenhanced offset 0,0.4 tc rgb '#333333'
set ylabel noenhanced offset 0.5,0 tc rgb '#333333'
unset logscale x
set xrange [1.52:8.48]
set xtics ('2' 2, '4' 4, '8' 8)
set xlabel 'batch, sequences a rank'
unset logscale y
set yrange [2.3755468:2.42680136]
set ytics ('2.38' 2.38, '2.39' 2.39, '2.40' 2.4, '2.41' 2.41, '2.42' 2.42)
set ylabel 'validation loss, nats a token'
set arrow from graph 0.92703, 0.09605 to graph 1.018, 0.09605 nohead lc rgb '#005b8e' lw 0.6 dt 3
set label 'baseline' at graph 1.025, 0.09605 left noenhanced tc rgb '#005b8e'
set arrow from graph 0.93503, 0.36341 to graph 1.018, 0.36341 nohead lc rgb '#aa4b00' lw 0.6 dt 3
set label 'flash' at graph 1.025, 0.36341 left noenhanced tc rgb '#aa4b00'
$marks0 << EOD
1.97216 2.3790816 2.3790816 2.3790816
3.97216 2.39197975 2.39197975 2.39197975
7.97216 2.38046957 2.38046957 2.38046957
EOD
$marks1 << EOD
2.02784 2.42326656 2.42326656 2.42326656
4.02784 2.39483872 2.39483872 2.39483872
8.02784 2.39417314 2.39417314 2.39417314
EOD
set terminal svg size 760,height dynamic name 'best' background rgb '#ffffff' font 'sans-serif,16'
set output aside.'best.svg'
plot $marks0 using 1:2 with linespoints lw 2.2 pt 7 ps 0.9 lc rgb '#0072b2', $marks1 using 1:2 with linespoints lw 2.2 pt 5 ps 0.9 lc rgb '#d55e00'
set terminal pngcairo size 1520,2*height background rgb '#ffffff' font 'sans-serif,12' fontscale 2 linewidth 2 pointscale 2
set output aside.'best.png'
replot
set output

reset
set encoding utf8
height = 460
set border 3 lc rgb '#777777'
unset key
set tics nomirror out scale 0.6 textcolor rgb '#333333' noenhanced
set grid x y lt 1 lc rgb '#e4e4e4' lw 0.8
set lmargin at screen 0.12
set rmargin at screen 0.8600
set tmargin at screen 0.8913
set bmargin at screen 0.1652
set label 'Throughput' at screen 0.02, screen 0.9478 left noenhanced font ',18' tc rgb '#111111'
set style textbox noborder
set xlabel noenhanced offset 0,0.4 tc rgb '#333333'
set ylabel noenhanced offset 0.5,0 tc rgb '#333333'
unset logscale x
set xrange [1.52:8.48]
set xtics ('2' 2, '4' 4, '8' 8)
set xlabel 'batch, sequences a rank'
unset logscale y
set yrange [0:18.2429925]
set ytics ('0' 0, '5' 5, '10' 10, '15' 15)
set ylabel 'thousand tokens/s'
set arrow from graph 0.93503, 0.88216 to graph 1.018, 0.87111 nohead lc rgb '#aa4b00' lw 0.6 dt 3
set label 'flash' at graph 1.025, 0.87111 left noenhanced tc rgb '#aa4b00'
set arrow from graph 0.92703, 0.92593 to graph 1.018, 0.93698 nohead lc rgb '#005b8e' lw 0.6 dt 3
set label 'baseline' at graph 1.025, 0.93698 left noenhanced tc rgb '#005b8e'
$marks0 << EOD
1.97216 14.3576802 14.3576802 14.3576802
3.97216 15.5227704 15.5227704 15.5227704
7.97216 16.8916597 16.8916597 16.8916597
EOD
$marks1 << EOD
2.02784 13.6484191 13.6484191 13.6484191
4.02784 15.0934139 15.0934139 15.0934139
8.02784 16.0933169 16.0933169 16.0933169
EOD
set terminal svg size 760,height dynamic name 'throughput' background rgb '#ffffff' font 'sans-serif,16'
set output aside.'throughput.svg'
plot $marks0 using 1:2 with linespoints lw 2.2 pt 7 ps 0.9 lc rgb '#0072b2', $marks1 using 1:2 with linespoints lw 2.2 pt 5 ps 0.9 lc rgb '#d55e00'
set terminal pngcairo size 1520,2*height background rgb '#ffffff' font 'sans-serif,12' fontscale 2 linewidth 2 pointscale 2
set output aside.'throughput.png'
replot
set output

reset
set encoding utf8
height = 460
set border 3 lc rgb '#777777'
unset key
set tics nomirror out scale 0.6 textcolor rgb '#333333' noenhanced
set grid x y lt 1 lc rgb '#e4e4e4' lw 0.8
set lmargin at screen 0.12
set rmargin at screen 0.8600
set tmargin at screen 0.8913
set bmargin at screen 0.1652
set label 'Memory of a rank: peak, and planned (dashed)' at screen 0.02, screen 0.9478 left noenhanced font ',18' tc rgb '#111111'
set style textbox noborder
set xlabel noenhanced offset 0,0.4 tc rgb '#333333'
set ylabel noenhanced offset 0.5,0 tc rgb '#333333'
unset logscale x
set xrange [1.52:8.48]
set xtics ('2' 2, '4' 4, '8' 8)
set xlabel 'batch, sequences a rank'
unset logscale y
set yrange [0:175.495781]
set ytics ('0' 0, '50' 50, '100' 100, '150' 150)
set ylabel 'memory, MiB'
set arrow from graph 0.93503, 0.90333 to graph 1.018, 0.88170 nohead lc rgb '#aa4b00' lw 0.6 dt 3
set label 'flash' at graph 1.025, 0.88170 left noenhanced tc rgb '#aa4b00'
set arrow from graph 0.92703, 0.92593 to graph 1.018, 0.94756 nohead lc rgb '#005b8e' lw 0.6 dt 3
set label 'baseline' at graph 1.025, 0.94756 left noenhanced tc rgb '#005b8e'
$marks0 << EOD
1.97216 133.261719 133.261719 133.261719
3.97216 146.355469 146.355469 146.355469
7.97216 162.496094 162.496094 162.496094
EOD
$second0 << EOD
1.97216 22.5996704 22.5996704 22.5996704
3.97216 32.1983032 32.1983032 32.1983032
7.97216 51.3955688 51.3955688 51.3955688
EOD
$marks1 << EOD
2.02784 132.285156 132.285156 132.285156
4.02784 141.027344 141.027344 141.027344
8.02784 158.53125 158.53125 158.53125
EOD
$second1 << EOD
2.02784 21.5996704 21.5996704 21.5996704
4.02784 30.1983032 30.1983032 30.1983032
8.02784 47.3955688 47.3955688 47.3955688
EOD
set terminal svg size 760,height dynamic name 'memory' background rgb '#ffffff' font 'sans-serif,16'
set output aside.'memory.svg'
plot $marks0 using 1:2 with linespoints lw 2.2 pt 7 ps 0.9 lc rgb '#0072b2', $second0 using 1:2 with lines lw 1.1 dt (6,5) lc rgb '#00446b', $marks1 using 1:2 with linespoints lw 2.2 pt 5 ps 0.9 lc rgb '#d55e00', $second1 using 1:2 with lines lw 1.1 dt (6,5) lc rgb '#803800'
set terminal pngcairo size 1520,2*height background rgb '#ffffff' font 'sans-serif,12' fontscale 2 linewidth 2 pointscale 2
set output aside.'memory.png'
replot
set output

reset
set encoding utf8
height = 460
set border 3 lc rgb '#777777'
unset key
set tics nomirror out scale 0.6 textcolor rgb '#333333' noenhanced
set grid x y lt 1 lc rgb '#e4e4e4' lw 0.8
set lmargin at screen 0.12
set rmargin at screen 0.7558
set tmargin at screen 0.8913
set bmargin at screen 0.1652
set label 'Validation loss against training time' at screen 0.02, screen 0.9478 left noenhanced font ',18' tc rgb '#111111'
set style textbox noborder
set xlabel noenhanced offset 0,0.4 tc rgb '#333333'
set ylabel noenhanced offset 0.5,0 tc rgb '#333333'
unset logscale x
set xrange [0:20.4211265]
set xtics ('0' 0, '5' 5, '10' 10, '15' 15, '20' 20)
set xlabel 'training time, s'
set logscale y
set yrange [2.36791589:2.68861763]
set ytics ('2.40' 2.4, '2.45' 2.45, '2.50' 2.5, '2.55' 2.55, '2.60' 2.6, '2.65' 2.65)
set ylabel 'validation loss, nats a token'
set arrow from graph 0.97970, 0.03704 to graph 1.018, 0.00000 nohead lc rgb '#3992c3' lw 0.6 dt 3
set label 'baseline, batch 2' at graph 1.025, 0.00000 left noenhanced tc rgb '#3992c3'
set arrow from graph 0.98054, 0.04163 to graph 1.018, 0.06579 nohead lc rgb '#003959' lw 0.6 dt 3
set label 'baseline, batch 8' at graph 1.025, 0.06579 left noenhanced tc rgb '#003959'
set arrow from graph 0.98097, 0.07960 to graph 1.018, 0.13164 nohead lc rgb '#006197' lw 0.6 dt 3
set label 'baseline, batch 4' at graph 1.025, 0.13164 left noenhanced tc rgb '#006197'
set arrow from graph 0.97991, 0.08682 to graph 1.018, 0.19749 nohead lc rgb '#6b2f00' lw 0.6 dt 3
set label 'flash, batch 8' at graph 1.025, 0.19749 left noenhanced tc rgb '#6b2f00'
set arrow from graph 0.98196, 0.08901 to graph 1.018, 0.26335 nohead lc rgb '#b55000' lw 0.6 dt 3
set label 'flash, batch 4' at graph 1.025, 0.26335 left noenhanced tc rgb '#b55000'
set arrow from graph 0.99010, 0.18191 to graph 1.018, 0.32921 nohead lc rgb '#de8239' lw 0.6 dt 3
set label 'flash, batch 2' at graph 1.025, 0.32921 left noenhanced tc rgb '#de8239'
$run0 << EOD
1.6811124 2.67599908
3.22276796 2.55540248
4.67285254 2.52405683
6.1081194 2.53463062
7.72772119 2.4890851
9.35780851 2.46907142
10.8467429 2.45214918
12.5622246 2.45717465
13.9389877 2.42765449
15.6685622 2.42508084
17.0953458 2.41714134
18.7519444 2.40672265
20.006537 2.3790816
EOD
$run1 << EOD
3.24143572 2.60430828
6.28053905 2.51754772
9.34866405 2.45841909
12.1171053 2.44629986
14.8218095 2.42318683
17.8899006 2.41675174
20.0326063 2.39197975
EOD
$run2 << EOD
6.03462656 2.56624282
11.4790316 2.4584147
16.8172342 2.41604861
20.0238268 2.38046957
EOD
$run3 << EOD
1.68825314 2.67599918
3.4362768 2.55540259
4.95597386 2.52405449
6.88469508 2.53468603
8.45153425 2.48909615
10.1131494 2.46897677
11.8185822 2.45222203
13.4195449 2.45500494
15.127893 2.42844987
16.9259705 2.42753832
18.5795616 2.42696488
20.2189372 2.42326656
EOD
$run4 << EOD
3.09019148 2.6043081
6.22136997 2.51754811
9.12940205 2.45841851
12.0622579 2.44629273
14.9731532 2.42321849
17.7510587 2.41652628
20.0527281 2.39483872
EOD
$run5 << EOD
5.65862066 2.56624284
11.6915275 2.45841471
17.3870602 2.41605023
20.0109053 2.39417314
EOD
set terminal svg size 760,height dynamic name 'loss_time' background rgb '#ffffff' font 'sans-serif,16'
set output aside.'loss_time.svg'
plot $run0 using 1:2 with lines lw 2.8 lc rgb '#60a7cf', $run1 using 1:2 with linespoints pt 7 ps 0.35 lw 2.8 lc rgb '#0072b2', $run2 using 1:2 with linespoints pt 7 ps 0.35 lw 2.8 lc rgb '#00476f', $run3 using 1:2 with linespoints pt 7 ps 0.35 lw 1.6 lc rgb '#e59a60', $run4 using 1:2 with linespoints pt 7 ps 0.35 lw 1.6 lc rgb '#d55e00', $run5 using 1:2 with linespoints pt 7 ps 0.35 lw 1.6 lc rgb '#853b00'
set terminal pngcairo size 1520,2*height background rgb '#ffffff' font 'sans-serif,12' fontscale 2 linewidth 2 pointscale 2
set output aside.'loss_time.png'
replot
set output

reset
set encoding utf8
height = 460
set border 3 lc rgb '#777777'
unset key
set tics nomirror out scale 0.6 textcolor rgb '#333333' noenhanced
set grid x y lt 1 lc rgb '#e4e4e4' lw 0.8
set lmargin at screen 0.12
set rmargin at screen 0.7558
set tmargin at screen 0.8913
set bmargin at screen 0.1652
set label 'Validation loss against tokens' at screen 0.02, screen 0.9478 left noenhanced font ',18' tc rgb '#111111'
set style textbox noborder
set xlabel noenhanced offset 0,0.4 tc rgb '#333333'
set ylabel noenhanced offset 0.5,0 tc rgb '#333333'
set logscale x
set xrange [19.9382218:307.132897]
set xtics ('20' 20, '50' 50, '100' 100, '200' 200)
set xlabel 'tokens, thousands'
set logscale y
set yrange [2.36791589:2.68861763]
set ytics ('2.40' 2.4, '2.45' 2.45, '2.50' 2.5, '2.55' 2.55, '2.60' 2.6, '2.65' 2.65)
set ylabel 'validation loss, nats a token'
set arrow from graph 0.94279, 0.03704 to graph 1.018, 0.00000 nohead lc rgb '#3992c3' lw 0.6 dt 3
set label 'baseline, batch 2' at graph 1.025, 0.00000 left noenhanced tc rgb '#3992c3'
set arrow from graph 0.99020, 0.04163 to graph 1.018, 0.06579 nohead lc rgb '#003959' lw 0.6 dt 3
set label 'baseline, batch 8' at graph 1.025, 0.06579 left noenhanced tc rgb '#003959'
set arrow from graph 0.96693, 0.07960 to graph 1.018, 0.13164 nohead lc rgb '#006197' lw 0.6 dt 3
set label 'baseline, batch 4' at graph 1.025, 0.13164 left noenhanced tc rgb '#006197'
set arrow from graph 0.97745, 0.08682 to graph 1.018, 0.19749 nohead lc rgb '#6b2f00' lw 0.6 dt 3
set label 'flash, batch 8' at graph 1.025, 0.19749 left noenhanced tc rgb '#6b2f00'
set arrow from graph 0.97091, 0.08901 to graph 1.018, 0.26335 nohead lc rgb '#b55000' lw 0.6 dt 3
set label 'flash, batch 4' at graph 1.025, 0.26335 left noenhanced tc rgb '#b55000'
set arrow from graph 0.91848, 0.18191 to graph 1.018, 0.32921 nohead lc rgb '#de8239' lw 0.6 dt 3
set label 'flash, batch 2' at graph 1.025, 0.32921 left noenhanced tc rgb '#de8239'
$run0 << EOD
20.48 2.67599908
40.96 2.55540248
61.44 2.52405683
81.92 2.53463062
102.4 2.4890851
122.88 2.46907142
143.36 2.45214918
163.84 2.45717465
184.32 2.42765449
204.8 2.42508084
225.28 2.41714134
245.76 2.40672265
262.656 2.3790816
EOD
$run1 << EOD
40.96 2.60430828
81.92 2.51754772
122.88 2.45841909
163.84 2.44629986
204.8 2.42318683
245.76 2.41675174
280.576 2.39197975
EOD
$run2 << EOD
81.92 2.56624282
163.84 2.4584147
245.76 2.41604861
299.008 2.38046957
EOD
$run3 << EOD
20.48 2.67599918
40.96 2.55540259
61.44 2.52405449
81.92 2.53468603
102.4 2.48909615
122.88 2.46897677
143.36 2.45222203
163.84 2.45500494
184.32 2.42844987
204.8 2.42753832
225.28 2.42696488
245.76 2.42326656
EOD
$run4 << EOD
40.96 2.6043081
81.92 2.51754811
122.88 2.45841851
163.84 2.44629273
204.8 2.42321849
245.76 2.41652628
283.648 2.39483872
EOD
$run5 << EOD
81.92 2.56624284
163.84 2.45841471
245.76 2.41605023
288.768 2.39417314
EOD
set terminal svg size 760,height dynamic name 'loss_tokens' background rgb '#ffffff' font 'sans-serif,16'
set output aside.'loss_tokens.svg'
plot $run0 using 1:2 with lines lw 2.8 lc rgb '#60a7cf', $run1 using 1:2 with linespoints pt 7 ps 0.35 lw 2.8 lc rgb '#0072b2', $run2 using 1:2 with linespoints pt 7 ps 0.35 lw 2.8 lc rgb '#00476f', $run3 using 1:2 with linespoints pt 7 ps 0.35 lw 1.6 lc rgb '#e59a60', $run4 using 1:2 with linespoints pt 7 ps 0.35 lw 1.6 lc rgb '#d55e00', $run5 using 1:2 with linespoints pt 7 ps 0.35 lw 1.6 lc rgb '#853b00'
set terminal pngcairo size 1520,2*height background rgb '#ffffff' font 'sans-serif,12' fontscale 2 linewidth 2 pointscale 2
set output aside.'loss_tokens.png'
replot
set output
