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
set label 'Best validation loss after 2 min of training' at screen 0.02, screen 0.9478 left noenhanced font ',18' tc rgb '#111111'
set style textbox noborder
set xlabel noenhanced offset 0,0.4 tc rgb '#333333'
set ylabel noenhanced offset 0.5,0 tc rgb '#333333'
set logscale x
set xrange [9.35976537:343.598357]
set xtics ('12' 12, '39' 39, '131' 131, '268' 268)
set xlabel 'batch, sequences a rank'
unset logscale y
set yrange [1.554624:2.88279226]
set ytics ('1.6' 1.6, '1.8' 1.8, '2.0' 2, '2.2' 2.2, '2.4' 2.4, '2.6' 2.6)
set ylabel 'validation loss, nats a token'
set arrow from graph 0.72837, 0.71142 to graph 1.018, 0.71142 nohead lc rgb '#005b8e' lw 0.6 dt 3
set label 'baseline' at graph 1.025, 0.71142 left noenhanced tc rgb '#005b8e'
set arrow from graph 0.93503, 0.81670 to graph 1.018, 0.81670 nohead lc rgb '#aa4b00' lw 0.6 dt 3
set label 'flash' at graph 1.025, 0.81670 left noenhanced tc rgb '#aa4b00'
set label 'oom' at first 264.165227, graph 0.960 left offset 0.7,0 font ',13' tc rgb '#005b8e' point pt 2 ps 0.8 lw 1.6 lc rgb '#0072b2'
$marks0 << EOD
11.8282938 1.90824948 1.90824948 1.90824948
38.4419547 1.8498938 1.8498938 1.8498938
129.12554 2.4995048 2.4995048 2.4995048
EOD
$marks1 << EOD
12.1741988 1.71090692 1.71090692 1.71090692
39.5661462 1.63497296 1.63497296 1.63497296
271.890441 2.63933492 2.63933492 2.63933492
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
set logscale x
set xrange [9.35976537:343.598357]
set xtics ('12' 12, '39' 39, '131' 131, '268' 268)
set xlabel 'batch, sequences a rank'
unset logscale y
set yrange [0:763.400019]
set ytics ('0' 0, '100' 100, '200' 200, '300' 300, '400' 400, '500' 500, '600' 600)
set ylabel 'thousand tokens/s'
set arrow from graph 0.72837, 0.54759 to graph 1.018, 0.54759 nohead lc rgb '#005b8e' lw 0.6 dt 3
set label 'baseline' at graph 1.025, 0.54759 left noenhanced tc rgb '#005b8e'
set arrow from graph 0.93503, 0.81222 to graph 1.018, 0.81222 nohead lc rgb '#aa4b00' lw 0.6 dt 3
set label 'flash' at graph 1.025, 0.81222 left noenhanced tc rgb '#aa4b00'
set label 'oom' at first 264.165227, graph 0.960 left offset 0.7,0 font ',13' tc rgb '#005b8e' point pt 2 ps 0.8 lw 1.6 lc rgb '#0072b2'
$marks0 << EOD
11.8282938 381.305378 381.305378 381.305378
38.4419547 413.080691 413.080691 413.080691
129.12554 418.028705 418.028705 418.028705
EOD
$marks1 << EOD
12.1741988 574.921802 574.921802 574.921802
39.5661462 618.382557 618.382557 618.382557
271.890441 620.045499 620.045499 620.045499
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
set logscale x
set xrange [9.35976537:343.598357]
set xtics ('12' 12, '39' 39, '131' 131, '268' 268)
set xlabel 'batch, sequences a rank'
unset logscale y
set yrange [0:98.3648518]
set ytics ('0' 0, '20' 20, '40' 40, '60' 60, '80' 80)
set ylabel 'memory, GiB'
set arrow from graph 0.93503, 0.81120 to graph 1.018, 0.77876 nohead lc rgb '#aa4b00' lw 0.6 dt 3
set label 'flash' at graph 1.025, 0.77876 left noenhanced tc rgb '#aa4b00'
set arrow from graph 0.72837, 0.81220 to graph 1.018, 0.84463 nohead lc rgb '#005b8e' lw 0.6 dt 3
set label 'baseline' at graph 1.025, 0.84463 left noenhanced tc rgb '#005b8e'
set label 'oom' at first 264.165227, graph 0.960 left offset 0.7,0 font ',13' tc rgb '#005b8e' point pt 2 ps 0.8 lw 1.6 lc rgb '#0072b2'
$marks0 << EOD
11.8282938 9.85241699 9.85241699 9.85241699
38.4419547 25.6473389 25.6473389 25.6473389
129.12554 79.8914795 79.8914795 79.8914795
EOD
$second0 << EOD
11.8282938 9.85417277 9.85417277 9.85417277
38.4419547 25.6503153 25.6503153 25.6503153
129.12554 79.8934794 79.8934794 79.8934794
EOD
$marks1 << EOD
12.1741988 6.47155762 6.47155762 6.47155762
39.5661462 14.2039795 14.2039795 14.2039795
271.890441 79.7938232 79.7938232 79.7938232
EOD
$second1 << EOD
12.1741988 6.47641093 6.47641093 6.47641093
39.5661462 14.2091647 14.2091647 14.2091647
271.890441 79.7937937 79.7937937 79.7937937
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
set rmargin at screen 0.7326
set tmargin at screen 0.8913
set bmargin at screen 0.1652
set label 'Validation loss against training time' at screen 0.02, screen 0.9478 left noenhanced font ',18' tc rgb '#111111'
set style textbox noborder
set xlabel noenhanced offset 0,0.4 tc rgb '#333333'
set ylabel noenhanced offset 0.5,0 tc rgb '#333333'
unset logscale x
set xrange [0:122.211733]
set xtics ('0' 0, '20' 20, '40' 40, '60' 60, '80' 80, '100' 100, '120' 120)
set xlabel 'training time, s'
set logscale y
set yrange [1.54337724:7.3200005]
set ytics ('2' 2, '3' 3, '4' 4, '5' 5, '7' 7)
set ylabel 'validation loss, nats a token'
set arrow from graph 0.98534, 0.03704 to graph 1.018, 0.00000 nohead lc rgb '#b55000' lw 0.6 dt 3
set label 'flash, batch 39' at graph 1.025, 0.00000 left noenhanced tc rgb '#b55000'
set arrow from graph 0.98469, 0.06620 to graph 1.018, 0.06587 nohead lc rgb '#de8239' lw 0.6 dt 3
set label 'flash, batch 12' at graph 1.025, 0.06587 left noenhanced tc rgb '#de8239'
set arrow from graph 0.98735, 0.11638 to graph 1.018, 0.13174 nohead lc rgb '#006fae' lw 0.6 dt 3
set label 'baseline, batch 39' at graph 1.025, 0.13174 left noenhanced tc rgb '#006fae'
set arrow from graph 0.98668, 0.13633 to graph 1.018, 0.19760 nohead lc rgb '#3992c3' lw 0.6 dt 3
set label 'baseline, batch 12' at graph 1.025, 0.19760 left noenhanced tc rgb '#3992c3'
set arrow from graph 0.99010, 0.30972 to graph 1.018, 0.29427 nohead lc rgb '#005381' lw 0.6 dt 3
set label 'baseline, batch 131' at graph 1.025, 0.29427 left noenhanced tc rgb '#005381'
set arrow from graph 0.98946, 0.34469 to graph 1.018, 0.36014 nohead lc rgb '#6b2f00' lw 0.6 dt 3
set label 'flash, batch 268' at graph 1.025, 0.36014 left noenhanced tc rgb '#6b2f00'
$run0 << EOD
11.671126 4.12876796
21.9573023 3.65023124
32.2555436 3.33590065
42.4861202 3.10788056
52.8198304 2.90469848
63.0325372 2.66457805
73.2834824 2.39311223
83.5214268 2.20117956
93.7342193 2.07143166
103.963294 2.00284788
114.362426 1.93234471
120.583531 1.90824948
EOD
$run1 << EOD
11.3867021 4.32873726
21.581148 3.76877199
31.8161753 3.36163991
42.0002207 3.07436991
52.1932306 2.83806006
62.3984165 2.6611223
72.6076392 2.48575808
82.8038496 2.28182232
93.0001754 2.11227992
103.185632 1.97985471
113.563 1.89392121
120.665495 1.8498938
EOD
$run2 << EOD
12.3075858 5.86214137
22.4567166 4.51266003
32.5779373 4.05811447
42.7040506 3.78486764
52.8193051 3.53724265
62.9518465 3.33522159
73.0799214 3.1266436
83.2183341 2.9486928
93.5211886 2.8011201
103.643451 2.68471223
113.763541 2.56383592
121.001716 2.4995048
EOD
$run4 << EOD
10.8682357 3.85380826
20.9439555 3.31479229
31.1406771 2.97570632
41.1847409 2.62224662
51.2002335 2.27671911
61.16742 2.06623071
71.1122638 1.96884682
81.207943 1.8832566
91.353765 1.82048781
101.243301 1.77249307
111.143258 1.75314147
120.341213 1.71090692
EOD
$run5 << EOD
12.6210748 4.0115475
22.5813138 3.35151379
32.5694525 2.93441093
42.5616425 2.667139
52.5614565 2.37174566
62.5557318 2.09914053
72.5449069 1.93478039
82.5240505 1.82726206
92.5009309 1.76021438
102.473673 1.70712475
112.440302 1.66898163
120.420058 1.63497296
EOD
$run6 << EOD
11.6824765 6.90991378
20.5184933 5.14487052
29.3711465 4.54574752
38.220862 4.16212249
47.0896172 3.94959045
55.9418756 3.704916
64.8015229 3.51315117
73.6802007 3.31322765
82.5615105 3.18685245
91.4304376 3.02898276
100.303375 2.87155044
109.179178 2.76093137
118.060039 2.64890444
120.923244 2.63933492
EOD
set terminal svg size 760,height dynamic name 'loss_time' background rgb '#ffffff' font 'sans-serif,16'
set output aside.'loss_time.svg'
plot $run0 using 1:2 with linespoints pt 7 ps 0.35 lw 2.8 lc rgb '#60a7cf', $run1 using 1:2 with linespoints pt 7 ps 0.35 lw 2.8 lc rgb '#2084bc', $run2 using 1:2 with linespoints pt 7 ps 0.35 lw 2.8 lc rgb '#00649c', $run4 using 1:2 with linespoints pt 7 ps 0.35 lw 1.6 lc rgb '#e59a60', $run5 using 1:2 with linespoints pt 7 ps 0.35 lw 1.6 lc rgb '#d55e00', $run6 using 1:2 with lines lw 1.6 lc rgb '#853b00'
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
set rmargin at screen 0.7326
set tmargin at screen 0.8913
set bmargin at screen 0.1652
set label 'Validation loss against tokens' at screen 0.02, screen 0.9478 left noenhanced font ',18' tc rgb '#111111'
set style textbox noborder
set xlabel noenhanced offset 0,0.4 tc rgb '#333333'
set ylabel noenhanced offset 0.5,0 tc rgb '#333333'
set logscale x
set xrange [3.57795866:75.2113747]
set xtics ('5' 5, '10' 10, '20' 20, '50' 50)
set xlabel 'tokens, millions'
set logscale y
set yrange [1.54337724:7.3200005]
set ytics ('2' 2, '3' 3, '4' 4, '5' 5, '7' 7)
set ylabel 'validation loss, nats a token'
set arrow from graph 0.97944, 0.03704 to graph 1.018, 0.00000 nohead lc rgb '#b55000' lw 0.6 dt 3
set label 'flash, batch 39' at graph 1.025, 0.00000 left noenhanced tc rgb '#b55000'
set arrow from graph 0.95685, 0.06620 to graph 1.018, 0.06587 nohead lc rgb '#de8239' lw 0.6 dt 3
set label 'flash, batch 12' at graph 1.025, 0.06587 left noenhanced tc rgb '#de8239'
set arrow from graph 0.84314, 0.11638 to graph 1.018, 0.13174 nohead lc rgb '#006fae' lw 0.6 dt 3
set label 'baseline, batch 39' at graph 1.025, 0.13174 left noenhanced tc rgb '#006fae'
set arrow from graph 0.81384, 0.13633 to graph 1.018, 0.19760 nohead lc rgb '#3992c3' lw 0.6 dt 3
set label 'baseline, batch 12' at graph 1.025, 0.19760 left noenhanced tc rgb '#3992c3'
set arrow from graph 0.84621, 0.30972 to graph 1.018, 0.29427 nohead lc rgb '#005381' lw 0.6 dt 3
set label 'baseline, batch 131' at graph 1.025, 0.29427 left noenhanced tc rgb '#005381'
set arrow from graph 0.99020, 0.34469 to graph 1.018, 0.36014 nohead lc rgb '#6b2f00' lw 0.6 dt 3
set label 'flash, batch 268' at graph 1.025, 0.36014 left noenhanced tc rgb '#6b2f00'
$run0 << EOD
3.6864 4.12876796
7.3728 3.65023124
11.0592 3.33590065
14.7456 3.10788056
18.432 2.90469848
22.1184 2.66457805
25.8048 2.39311223
29.4912 2.20117956
33.1776 2.07143166
36.864 2.00284788
40.5504 1.93234471
42.663936 1.90824948
EOD
$run1 << EOD
3.9936 4.32873726
7.9872 3.76877199
11.9808 3.36163991
15.9744 3.07436991
19.968 2.83806006
23.9616 2.6611223
27.9552 2.48575808
31.9488 2.28182232
35.9424 2.11227992
39.936 1.97985471
43.9296 1.89392121
46.645248 1.8498938
EOD
$run2 << EOD
4.02432 5.86214137
8.04864 4.51266003
12.07296 4.05811447
16.09728 3.78486764
20.1216 3.53724265
24.14592 3.33522159
28.17024 3.1266436
32.19456 2.9486928
36.21888 2.8011201
40.2432 2.68471223
44.26752 2.56383592
47.084544 2.4995048
EOD
$run4 << EOD
5.5296 3.85380826
11.0592 3.31479229
16.5888 2.97570632
22.1184 2.62224662
27.648 2.27671911
33.1776 2.06623071
38.7072 1.96884682
44.2368 1.8832566
49.7664 1.82048781
55.296 1.77249307
60.8256 1.75314147
65.949696 1.71090692
EOD
$run5 << EOD
5.9904 4.0115475
11.9808 3.35151379
17.9712 2.93441093
23.9616 2.667139
29.952 2.37174566
35.9424 2.09914053
41.9328 1.93478039
47.9232 1.82726206
53.9136 1.76021438
59.904 1.70712475
65.8944 1.66898163
70.646784 1.63497296
EOD
$run6 << EOD
5.48864 6.90991378
10.97728 5.14487052
16.46592 4.54574752
21.95456 4.16212249
27.4432 3.94959045
32.93184 3.704916
38.42048 3.51315117
43.90912 3.31322765
49.39776 3.18685245
54.8864 3.02898276
60.37504 2.87155044
65.86368 2.76093137
71.35232 2.64890444
72.998912 2.63933492
EOD
set terminal svg size 760,height dynamic name 'loss_tokens' background rgb '#ffffff' font 'sans-serif,16'
set output aside.'loss_tokens.svg'
plot $run0 using 1:2 with linespoints pt 7 ps 0.35 lw 2.8 lc rgb '#60a7cf', $run1 using 1:2 with linespoints pt 7 ps 0.35 lw 2.8 lc rgb '#2084bc', $run2 using 1:2 with linespoints pt 7 ps 0.35 lw 2.8 lc rgb '#00649c', $run4 using 1:2 with linespoints pt 7 ps 0.35 lw 1.6 lc rgb '#e59a60', $run5 using 1:2 with linespoints pt 7 ps 0.35 lw 1.6 lc rgb '#d55e00', $run6 using 1:2 with lines lw 1.6 lc rgb '#853b00'
set terminal pngcairo size 1520,2*height background rgb '#ffffff' font 'sans-serif,12' fontscale 2 linewidth 2 pointscale 2
set output aside.'loss_tokens.png'
replot
set output
