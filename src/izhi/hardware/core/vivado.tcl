# Izhi's core on @@{name}: vivado -mode batch -source izhi.tcl   makes izhi.bit, izhi.hwh, izhi.xsa and *.rpt.
# @@{untested}.

set folder [file dirname [file normalize [info script]]]
create_project izhi [file join $folder vivado] -part @@{part} -force
set board [get_board_parts -quiet -latest_file_version @@{board_part}]
if {[llength $board] > 0} {
    set preset 1
    set_property board_part [lindex $board 0] [current_project]
} else {
    set preset 0
    puts "WARNING: board files of @@{name} are not installed: memory and pins are those of Vivado, not the board's"
}
add_files -norecurse [list [file join $folder izhi.v]]
update_compile_order -fileset sources_1

create_bd_design izhi
set ps [create_bd_cell -type ip -vlnv xilinx.com:ip:@@{processing_system} ps]
set options [list @@{config} apply_board_preset $preset Master Disable Slave Disable]
apply_bd_automation -rule @@{rule} -config $options $ps
set_property -dict [list @@{properties} @@{clock_property} {@@{megahertz}}] $ps
set core [create_bd_cell -type module -reference izhi izhi]

set dma [create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dma dma]
set_property -dict [list CONFIG.c_include_sg {0} CONFIG.c_sg_length_width {26} \
    CONFIG.c_m_axi_mm2s_data_width {32} CONFIG.c_m_axis_mm2s_tdata_width {32} \
    CONFIG.c_s_axis_s2mm_tdata_width {32}] $dma

set reset [create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset]
set control [create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect control]
set_property -dict [list CONFIG.NUM_SI {1} CONFIG.NUM_MI {2}] $control
set memory [create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect memory]
set_property -dict [list CONFIG.NUM_SI {2} CONFIG.NUM_MI {1}] $memory

foreach pin {ps/@@{register_clock} ps/@@{memory_clock} reset/slowest_sync_clk izhi/aclk control/aclk memory/aclk \
    dma/s_axi_lite_aclk dma/m_axi_mm2s_aclk dma/m_axi_s2mm_aclk} {
    connect_bd_net [get_bd_pins ps/@@{clock}] [get_bd_pins $pin]
}
connect_bd_net [get_bd_pins ps/@@{reset}] [get_bd_pins reset/ext_reset_in]
foreach pin {izhi/aresetn control/aresetn memory/aresetn dma/axi_resetn} {
    connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins $pin]
}
foreach {from to} {ps/@@{master} control/S00_AXI control/M00_AXI izhi/s_axi control/M01_AXI dma/S_AXI_LITE \
    dma/M_AXI_MM2S memory/S00_AXI dma/M_AXI_S2MM memory/S01_AXI memory/M00_AXI ps/@@{slave} \
    dma/M_AXIS_MM2S izhi/s_axis izhi/m_axis dma/S_AXIS_S2MM} {
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}
assign_bd_address
validate_bd_design
save_bd_design

make_wrapper -files [get_files izhi.bd] -top -import
set_property top izhi_wrapper [current_fileset]
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] != "100%"} {
    error "implementation failed: see $folder/vivado"
}
open_run impl_1
report_timing_summary -file [file join $folder timing.rpt]
report_utilization -hierarchical -file [file join $folder utilization.rpt]
report_power -file [file join $folder power.rpt]
foreach {what slack} [list setup [get_property STATS.WNS [get_runs impl_1]]     hold [get_property STATS.WHS [get_runs impl_1]]] {
    if {$slack < 0} {
        error "timing is not met: the worst slack of $what is $slack ns; see timing.rpt, use a lower --clock"
    }
}
set made [file join $folder vivado]
file copy -force [lindex [glob -directory [file join $made izhi.runs impl_1] *.bit] 0] [file join $folder izhi.bit]
# It is under izhi.gen since Vivado 2020.2, and was under izhi.srcs before.
set handoff [glob -directory $made izhi.{gen,srcs}/sources_1/bd/izhi/hw_handoff/izhi.hwh]
file copy -force [lindex $handoff 0] [file join $folder izhi.hwh]
write_hw_platform -fixed -include_bit -force -file [file join $folder izhi.xsa]
